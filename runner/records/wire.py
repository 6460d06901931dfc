"""`wire.jsonl`: from a tape's items to lines, and back.

A media message is kept as its text without the base64 payload and the payload's place in a media file, so
that the original can be put together again.
"""

from __future__ import annotations

import contextlib
import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from runner.audio.rtp import RtpPacket
from runner.records.private import Privacy
from runner.transports.tape import Kind

LARGEST_TEXT = 1 << 16
"""Longer messages (characters) are noted, not kept."""

_PAYLOAD = re.compile(r'"payload"\s*:\s*"')
_MEDIA_WORDS = ('"media"', '"playAudio"')
_USUAL_PAYLOAD = '"payload":"'
_USUAL_LENGTH = len(_USUAL_PAYLOAD)
_USUAL_BEGINNINGS = ('{"event":"media"', '{"event":"playAudio"')
_MESSAGE = Kind.MESSAGE
_NEVER = "\0"
"""No message begins like this: JSON has no such character."""
_DIRECTIONS = ("out", "in")
CLEARS = frozenset({"clear", "clearAudio"})


class _Side:
    """What was written of one direction: media not yet flushed and its offset, and of the last media message
    where its payload began and what stood before and behind it."""

    __slots__ = ("cut", "end", "head", "media", "offset", "shown_end", "ssrc", "tail")

    def __init__(self, offset: int) -> None:
        self.media: list[bytes] = []
        self.offset = offset
        self.head, self.tail, self.cut = _NEVER, "", 0
        self.end = self.shown_end = ""  # what followed the last payload, and the same without secrets
        self.ssrc: int | None = None

    def add(self, data: bytes) -> int:
        """Append media; returns its offset in the file."""
        at = self.offset
        self.media.append(data)
        self.offset = at + len(data)
        return at


class WireEncoder:
    """Makes the lines of one call's messages, and collects their media.

    Args:
        start: the call's start on its clock (s).
        privacy: removes secrets; says whether content is kept.
        offsets: how long the media files are already (bytes), outbound and inbound.
    """

    def __init__(self, start: float, privacy: Privacy, offsets: tuple[int, int] = (0, 0)) -> None:
        self._start = start
        self._privacy = privacy
        self._keeps = privacy.keeps_content
        self._sides = tuple(map(_Side, offsets))
        self.lines: list[str] = []

    @property
    def inbound_bytes(self) -> int:
        """The size of the inbound media file, with what was not taken yet."""
        return self._sides[1].offset

    def take(self) -> tuple[str, bytes, bytes]:
        """The lines, the outbound and the inbound media since the last call of this."""
        out, inbound = self._sides
        taken = "".join(self.lines), b"".join(out.media), b"".join(inbound.media)
        self.lines, out.media, inbound.media = [], [], []
        return taken

    def add(self, at: float, kind: Kind, inbound: bool, content: Any) -> None:
        """One item of a tape."""
        side, seconds = self._sides[inbound], at - self._start
        if kind is _MESSAGE and content.__class__ is str and self._usual(seconds, side, inbound, content):
            return
        begin = f'{{"t":{seconds:.4f},"d":"{_DIRECTIONS[inbound]}","k":'
        if kind is Kind.MESSAGE and isinstance(content, str):
            self._text(begin, side, content)
        elif kind is Kind.RTP:
            self._rtp(begin, side, content)
        elif kind is Kind.APP:
            self.lines.append(f'{begin}"app",{self._plain(content)}}}\n')
        else:
            self._media(f'{begin}"{"pcm" if kind is Kind.PCM else "binary"}"', side, content)

    def _usual(self, seconds: float, side: _Side, inbound: bool, text: str) -> bool:
        """A media message in its usual shape, by the shortest way: there are a hundred of them a second."""
        if text.startswith(side.head) and text.endswith(side.tail):  # all but the payload is as before
            try:
                data = a2b_base64(text[len(side.head) : -len(side.tail)], strict_mode=True)
            except ValueError:
                return False
            at, size = side.offset, len(data)
            side.media.append(data)
            side.offset = at + size
            direction = "in" if inbound else "out"
            self.lines.append(f'{{"t":{seconds:.4f},"d":"{direction}","k":"text","at":{at},"n":{size}}}\n')
            return True
        cut = side.cut
        if not text.startswith(_USUAL_PAYLOAD, cut - _USUAL_LENGTH):
            cut = side.cut = text.find(_USUAL_PAYLOAD) + _USUAL_LENGTH
        if cut < _USUAL_LENGTH or not self._keeps or not text.startswith(_USUAL_BEGINNINGS):
            return False
        head, end = text[:cut], text.find('"', cut)
        if inbound and '"outbound' in head:
            return False
        try:
            data = a2b_base64(text[cut:end], strict_mode=True)
        except ValueError:
            return False
        at, size = side.offset, len(data)
        side.media.append(data)
        side.offset = at + size
        tail = text[end:]
        if not inbound:
            side.head, side.tail = head, tail
        if tail != side.end:  # Plivo repeats the call's parameters there, numbers included
            side.end, side.shown_end = tail, self._privacy.clean(tail)
        shown = self._privacy.mask_numbers(head)
        direction = "in" if inbound else "out"
        self.lines.append(
            f'{{"t":{seconds:.4f},"d":"{direction}","k":"text","text":{quoted(shown + side.shown_end)},'
            f'"cut":{len(shown)},"at":{at},"n":{size}}}\n'
        )
        return True

    def _text(self, begin: str, side: _Side, text: str) -> None:
        """Any other text message."""
        found = _PAYLOAD.search(text) if any(word in text for word in _MEDIA_WORDS) else None
        data = b""
        if found is not None and '"outbound' not in text:
            end = text.find('"', found.end())
            with contextlib.suppress(ValueError):  # malformed, or not canonical: the text is kept as it is
                data = a2b_base64(text[found.end() : end], strict_mode=True)
        if found is None or not data:
            self.lines.append(f'{begin}"text",{self._plain(text)}}}\n')
        elif not self._keeps:
            self.lines.append(f'{begin}"text","size":{len(text)},"n":{len(data)}}}\n')
        else:
            head = self._privacy.clean(text[: found.end()])
            side.head = _NEVER  # the next line cannot leave its text out
            rest = head + self._privacy.clean(text[end:])
            line = f'{begin}"text","text":{quoted(rest)},"cut":{len(head)},"at":{side.add(data)}'
            self.lines.append(f'{line},"n":{len(data)}}}\n')

    def _rtp(self, begin: str, side: _Side, packet: RtpPacket) -> None:
        line = f'{begin}"rtp","seq":{packet.sequence},"ts":{packet.timestamp}'
        if packet.ssrc != side.ssrc:
            side.ssrc = packet.ssrc
            line += f',"ssrc":{packet.ssrc}'
        self._media(line, side, packet.payload)

    def _media(self, line: str, side: _Side, data: bytes) -> None:
        if self._keeps and len(data) <= LARGEST_TEXT:
            self.lines.append(f'{line},"at":{side.add(data)},"n":{len(data)}}}\n')
        else:
            self.lines.append(f'{line},"size":{len(data)}}}\n')

    def _plain(self, text: str) -> str:
        if len(text) > LARGEST_TEXT or not self._keeps:
            return f'"size":{len(text)}'
        return f'"text":{quoted(self._privacy.clean(text))}'


# ------------------------------------------------------------------ back


@dataclass(frozen=True, slots=True)
class WireLine:
    """One message. `text` has the payload cut out at `cut`; `at` and `n` are its bytes in the media file."""

    line: int
    t: float
    inbound: bool
    kind: str
    text: str | None = None
    cut: int | None = None
    at: int | None = None
    n: int = 0
    seq: int | None = None
    ts: int | None = None
    ssrc: int | None = None
    size: int | None = None

    @property
    def has_media(self) -> bool:
        return self.at is not None

    def original(self, media: bytes) -> str | bytes:
        """The message as it crossed the wire; `media` is the media file of its direction.

        Raises:
            ValueError: its content was not kept.
        """
        data = b"" if self.at is None else media[self.at : self.at + self.n]
        if self.kind in ("text", "app"):
            if self.text is None:
                raise ValueError("its text was not recorded")
            if self.cut is None:
                return self.text
            return self.text[: self.cut] + b2a_base64(data, newline=False).decode() + self.text[self.cut :]
        return data


@dataclass(slots=True)
class WireDecoder:
    """Reads lines in their order: some say only what differs from the one before."""

    _before: dict[bool, tuple[str, int]] = field(default_factory=dict)
    _ssrc: dict[bool, int] = field(default_factory=dict)

    def read(self, number: int, line: Mapping[str, Any]) -> WireLine:
        """One line's object.

        Raises:
            KeyError, TypeError, ValueError: it is not such a line.
        """
        inbound, kind = {"in": True, "out": False}[line["d"]], str(line["k"])
        text, cut = line.get("text"), line.get("cut")
        at = line.get("at")
        if kind == "text" and at is not None:
            if text is None:
                text, cut = self._before[inbound]
            elif isinstance(cut, int):
                self._before[inbound] = text, cut
        if kind == "rtp":
            self._ssrc[inbound] = line.get("ssrc", self._ssrc.get(inbound, 0))
        return WireLine(
            number,
            float(line["t"]),
            inbound,
            kind,
            text,
            cut,
            at,
            int(line.get("n", 0)),
            line.get("seq"),
            line.get("ts"),
            self._ssrc.get(inbound) if kind == "rtp" else None,
            line.get("size"),
        )


def message_of(line: WireLine) -> dict[str, Any]:
    """One message; the fields of a `WirePage` in `docs/records.md`."""
    message = None
    if line.text is not None:
        try:
            message = json.loads(line.text)
        except (ValueError, RecursionError):
            message = None
    return {
        "line": line.line,
        "t": line.t,
        "d": "in" if line.inbound else "out",
        "k": line.kind,
        "text": line.text,
        "message": message,
        "type": message_type(line.text),
        "at": line.at,
        "n": line.n,
        "seq": line.seq,
        "ts": line.ts,
        "size": len(line.text or "") + line.n if line.size is None else line.size,
    }


def message_type(text: str | None) -> str:
    """What a message calls itself: its `event`, or its `type`; "" if it has none."""
    try:
        message = json.loads(text or "")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(message, dict):
        return ""
    return next((str(message[key]) for key in ("event", "type") if isinstance(message.get(key), str)), "")


def clears(line: WireLine) -> bool:
    """Whether this outbound message takes back the sound that has not been played."""
    return (
        not line.inbound
        and line.at is None
        and line.text is not None
        and "lear" in line.text
        and message_type(line.text) in CLEARS
    )
