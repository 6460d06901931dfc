"""`wire.jsonl`: from a tape's items to lines, and back.

A text message with media is kept as it is: JSON on one line becomes a part of its line, which costs less than
anything else. The media of other messages goes into a file of its own.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from runner.audio.rtp import RtpPacket
from runner.records.private import Privacy
from runner.transports.tape import Item, Kind

STALLED_S = {Kind.MESSAGE: 0.5, Kind.RTP: 1.0, Kind.PCM: math.inf, Kind.APP: math.inf}
"""Media of the caller that is away for longer (s) counts as stalled. A phone sends without a pause, a browser
every 0.4 s at least; in a Daily room nothing comes while nobody speaks."""

LARGEST_TEXT = 1 << 16
"""Longer messages (characters) are noted, not kept."""

_PAYLOAD = re.compile(r'"payload"\s*:\s*"')
_MEDIA_WORDS = ('"media"', '"playAudio"')
_USUAL_PAYLOAD = '"payload":"'
_USUAL_LENGTH = len(_USUAL_PAYLOAD)
_USUAL_BEGINNINGS = ('{"event":"media"', '{"event":"playAudio"')
_MESSAGE, _EVENT = Kind.MESSAGE, Kind.EVENT
_NEVER = "\0"
"""No message begins like this: JSON has no such character."""
_DIRECTIONS = ("out", "in")
CLEARS = frozenset({"clear", "clearAudio"})


class _Side:
    """What was written of one direction.

    Attributes:
        media: not yet flushed.
        offset: the size of the media file with it (bytes).
        count: number of messages with media, but for the usual ones.
        last_at: when the last one crossed the wire (s); 0 before.
        gaps: the times (s) between which there was no media for too long.
        begin: of a line with such a message.
        cut, tail, shown_tail: the shape of its text messages with media: where the payload begins, what
            stands behind it, and the same without secrets.
    """

    __slots__ = ("begin", "count", "cut", "gaps", "last_at", "media", "offset", "shown_tail", "ssrc", "tail")

    def __init__(self, offset: int, inbound: bool) -> None:
        self.begin = f',"d":"{_DIRECTIONS[inbound]}","m":'
        self.last_at = 0.0
        self.gaps: list[tuple[float, float]] = []
        self.media: list[bytes] = []
        self.offset = offset
        self.count = 0
        self.cut, self.tail, self.shown_tail = 0, _NEVER, ""
        self.ssrc: int | None = None

    def media_at(self, at: float, stalled_s: float = 0.5) -> None:
        """Media crossed the wire."""
        if at - self.last_at > stalled_s and self.last_at:
            self.gaps.append((self.last_at, at))
        self.last_at = at

    def add(self, data: bytes) -> int:
        """Append media; returns its offset in the file."""
        at = self.offset
        self.media.append(data)
        self.offset = at + len(data)
        self.count += 1
        return at


class WireEncoder:
    """Makes the lines of one call's messages, and collects their media.

    Args:
        start: the call's start on its clock (s).
        privacy: removes secrets; says whether content is kept.
        offsets: how long the media files are already (bytes), outbound and inbound.

    Attributes:
        inbound: what came in.
    """

    def __init__(self, start: float, privacy: Privacy, offsets: tuple[int, int] = (0, 0)) -> None:
        self._start = start
        self._privacy = privacy
        self._keeps = privacy.keeps_content
        self._sides = _Side(offsets[0], False), _Side(offsets[1], True)
        self.inbound = self._sides[True]
        self.lines: list[str] = []

    def take(self) -> tuple[str, bytes, bytes]:
        """The lines, the outbound and the inbound media since the last call of this."""
        out, inbound = self._sides
        taken = "".join(self.lines), b"".join(out.media), b"".join(inbound.media)
        self.lines, out.media, inbound.media = [], [], []
        return taken

    def add(self, items: Iterable[Item]) -> list[Any]:
        """Items of a tape; returns the events among them."""
        sides, start, line = self._sides, self._start, self.lines.append
        events = []
        for at, kind, inbound, content in items:
            if kind is _EVENT:
                events.append(content)
                continue
            side = sides[inbound]
            if kind is _MESSAGE and content.__class__ is str:
                # A media message of the same shape as the one before: there are a hundred of them a second.
                tail = side.tail
                if (
                    content.startswith(_USUAL_PAYLOAD, side.cut - _USUAL_LENGTH)
                    and content.endswith(tail)
                    and content.find('"', side.cut) == len(content) - len(tail)
                    and "\n" not in content
                ):
                    if tail is not side.shown_tail:
                        content = content[: -len(tail)] + side.shown_tail
                    line(f'{{"t":{at - start:.4f}{side.begin}{content}}}\n')
                    side.media_at(at)
                    continue
            count = side.count
            self._other(at, kind, inbound, content)
            if count != side.count:
                side.media_at(at, STALLED_S[kind])
        return events

    def _other(self, at: float, kind: Kind, inbound: bool, content: Any) -> None:
        """Anything but the usual."""
        side = self._sides[inbound]
        begin = f'{{"t":{at - self._start:.4f},"d":"{_DIRECTIONS[inbound]}","k":'
        if kind is Kind.MESSAGE and isinstance(content, str):
            self._text(begin, side, content)
        elif kind is Kind.RTP:
            self._rtp(begin, side, content)
        elif kind is Kind.APP:
            self.lines.append(f'{begin}"app",{self._plain(content)}}}\n')
        else:
            self._media(f'{begin}"{"pcm" if kind is Kind.PCM else "binary"}"', side, content)

    def _text(self, begin: str, side: _Side, text: str) -> None:
        """Any other text message."""
        cut, data = payload_of(text)
        if not data:
            self.lines.append(f'{begin}"text",{self._plain(text)}}}\n')
            return
        side.count += 1
        if not self._keeps:
            self.lines.append(f'{begin}"text","size":{len(text)},"n":{len(data)}}}\n')
            return
        end = text.find('"', cut)
        head, tail = self._privacy.clean(text[:cut]), self._privacy.clean(text[end:])
        self.lines.append(f'{begin}"text","text":{quoted(head + text[cut:end] + tail)}}}\n')
        usual = head.endswith(_USUAL_PAYLOAD) and head.startswith(_USUAL_BEGINNINGS) and head == text[:cut]
        if usual and "\n" not in tail:  # Plivo repeats the call's parameters in the tail, numbers included
            side.cut, side.tail, side.shown_tail = cut, text[end:], tail if tail != text[end:] else text[end:]
        else:
            side.tail = _NEVER

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


def payload_of(text: str) -> tuple[int, bytes]:
    """Where (index) the media of a text message begins in it, in base64, and the media; empty without.
    Base64 that is malformed or not canonical is no media: the text is kept as it is."""
    cut = text.find(_USUAL_PAYLOAD) + _USUAL_LENGTH
    if cut < _USUAL_LENGTH or not text.startswith(_USUAL_BEGINNINGS):
        found = _PAYLOAD.search(text) if any(word in text for word in _MEDIA_WORDS) else None
        if found is None:
            return 0, b""
        cut = found.end()
    if '"outbound' in text:
        return 0, b""
    with contextlib.suppress(ValueError):
        return cut, a2b_base64(text[cut : text.find('"', cut)], strict_mode=True)
    return 0, b""


# ------------------------------------------------------------------ back


@dataclass(frozen=True, slots=True)
class WireLine:
    """One message. `text` has the payload cut out at `cut`; `at` and `n` are its bytes in the media of its
    direction (`Record.media`)."""

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
        """The message as it crossed the wire; `media` is the media of its direction.

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
    """Reads lines in their order: some say only what differs from the one before.

    Attributes:
        media: the media that was in text messages, of the caller (True) and the bot (False).
    """

    media: dict[bool, bytearray] = field(default_factory=lambda: {True: bytearray(), False: bytearray()})
    _ssrc: dict[bool, int] = field(default_factory=dict)

    def read(self, number: int, line: bytes) -> WireLine:
        """One line's object.

        Raises:
            KeyError, TypeError, ValueError: it is not such a line.
        """
        head, found, message = line.partition(b',"m":')
        if found:  # the message as it is; what is in front of it is always written alike
            at, _, direction = head.removeprefix(b'{"t":').partition(b',"d":')
            if not message.endswith(b"}"):
                raise ValueError("no end")
            return self._text(number, float(at), _INBOUND[direction], message[:-1].decode())
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise TypeError("no object")
        inbound, kind = {"in": True, "out": False}[fields["d"]], str(fields["k"])
        t, text = float(fields["t"]), fields.get("text")
        if kind == "text" and isinstance(text, str):
            return self._text(number, t, inbound, text)
        if kind == "rtp":
            self._ssrc[inbound] = fields.get("ssrc", self._ssrc.get(inbound, 0))
        return WireLine(
            number,
            t,
            inbound,
            kind,
            text,
            None,
            fields.get("at"),
            int(fields.get("n", 0)),
            fields.get("seq"),
            fields.get("ts"),
            self._ssrc.get(inbound) if kind == "rtp" else None,
            fields.get("size"),
        )

    def _text(self, number: int, t: float, inbound: bool, text: str) -> WireLine:
        cut, data = payload_of(text)
        if not data:
            return WireLine(number, t, inbound, "text", text)
        media = self.media[inbound]
        at, size = len(media), len(data)
        media += data
        end = cut + (size + 2) // 3 * 4  # canonical base64
        return WireLine(number, t, inbound, "text", text[:cut] + text[end:], cut, at, size)


_INBOUND = {b'"in"': True, b'"out"': False}


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
