"""`Wire`, the base of the providers' wires, and the wire of a plain client."""

from __future__ import annotations

import binascii
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

from runner.callers.sound.bot_sound import is_base64_twice, is_pcm16
from runner.errors import ProtocolError
from runner.serializers.websocket import LABEL
from runner.serializers.wire import MediaFormat, decoder_for, encoder_for, parse_encoding

LONGEST_MESSAGE = 1 << 20
FROM_NUMBER, TO_NUMBER = "+15550001001", "+15550001002"
"""The numbers of a call whose numbers do not matter."""


@dataclass(frozen=True, slots=True)
class BotSound:
    """Pcm to play to the caller, at the wire's `sample_rate`."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class BotMark:
    """A mark, to answer with this name once all audio before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class BotClear:
    """Drop the queued audio."""


@dataclass(frozen=True, slots=True)
class BotDTMF:
    """The bot presses keys."""

    digits: str


@dataclass(frozen=True, slots=True)
class BotBad:
    """The bot violated the provider's rules; `reason` is a sentence."""

    reason: str


WireEvent = BotSound | BotMark | BotClear | BotDTMF | BotBad


class BadMessage(Exception):
    """The provider would reject this message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """The provider's data of a call."""

    stream_id: str = ""
    call_id: str = ""
    account_id: str = ""
    from_number: str = FROM_NUMBER
    to_number: str = TO_NUMBER
    custom_parameters: Mapping[str, str]


class Wire(ABC):
    """The provider's side of one call's media socket. Create one per call.

    Usage: send each of `opening()`, then `media(pcm)` every `ptime_ms`; pass each message of the bot to
    `receive`; and before closing the socket send `stop(reason)`, unless it is None.

    Attributes:
        sample_rate: sample rate of pcm, both ways, Hz.
        ptime_ms: length of the audio in one media message.
        media_format: encoding and rate on the wire.
        facts: ids and numbers of the call; made up if they were not given.
    """

    provider: ClassVar[str]
    ptime_ms: ClassVar[int] = 20
    default_encoding: ClassVar[str] = "audio/x-mulaw"
    _default_ids: ClassVar[tuple[str, str, str]]
    """Stream, call and account id, in the provider's format."""

    def __init__(
        self,
        *,
        stream_id: str = "",
        call_id: str = "",
        account_id: str = "",
        from_number: str = FROM_NUMBER,
        to_number: str = TO_NUMBER,
        custom_parameters: Mapping[str, str] | None = None,
        encoding: str | None = None,
        sample_rate: int = 8000,
    ) -> None:
        stream, call, account = self._default_ids
        self.facts = CallFacts(
            stream_id=stream_id or stream,
            call_id=call_id or call,
            account_id=account_id or account,
            from_number=from_number,
            to_number=to_number,
            custom_parameters=dict(custom_parameters or {}),
        )
        self.encoding = encoding or self.default_encoding
        self.media_format = MediaFormat(parse_encoding(self.encoding), sample_rate)
        self.sample_rate = sample_rate
        self._encode = encoder_for(self.media_format.encoding)
        self._decode = decoder_for(self.media_format.encoding)
        self._sequence = 0
        self._chunk = 0
        self._sent_bytes = 0

    # ---------------------------------------------------------------- to the bot

    @abstractmethod
    def opening(self) -> list[str | bytes]:
        """The first messages on the socket."""

    @abstractmethod
    def media(self, pcm: bytes, now: float = 0.0) -> str | bytes:
        """A message with the caller's next audio. `now` (Unix time, s) is used only by Plivo's timestamps."""

    @abstractmethod
    def dtmf(self, digit: str) -> str:
        """The message for a key pressed by the caller."""

    @abstractmethod
    def mark_reached(self, name: str) -> str:
        """The message that the audio before this mark has been played or dropped."""

    def cleared(self) -> str | None:
        """The acknowledgement of a clear, if the provider has one."""
        return None

    def stop(self, reason: str = "") -> str | None:
        """The last message, if the provider has one."""
        return None

    def again(self, *, encoding: str | None = None, sample_rate: int | None = None) -> Self:
        """A wire for the same call on a new socket, with new counters and, if given, another format."""
        facts = self.facts
        return type(self)(
            stream_id=facts.stream_id,
            call_id=facts.call_id,
            account_id=facts.account_id,
            from_number=facts.from_number,
            to_number=facts.to_number,
            custom_parameters=facts.custom_parameters,
            encoding=encoding or self.encoding,
            sample_rate=sample_rate or self.sample_rate,
        )

    def address_again(self, url: str) -> str:
        """The URL for the same call on a new socket, if the first one was at `url`."""
        return url

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _next_chunk(self, pcm: bytes) -> tuple[int, int, str]:
        """Number, timestamp (ms since the start of the stream, at the end of this chunk) and payload."""
        self._chunk += 1
        self._sent_bytes += len(pcm)
        stamp_ms = self._sent_bytes * 500 // self.sample_rate
        payload = binascii.b2a_base64(self._encode(pcm), newline=False).decode("ascii")
        return self._chunk, stamp_ms, payload

    # ---------------------------------------------------------------- from the bot

    def receive(self, message: str | bytes) -> list[WireEvent]:
        """Parse the bot's message as the provider would; violated rules are returned as `BotBad`."""
        try:
            return self._receive(self._parse(message))
        except BadMessage as bad:
            return [BotBad(f"{self.provider}: {bad}")]

    @abstractmethod
    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]: ...

    def _parse(self, message: str | bytes) -> dict[str, Any]:
        if not isinstance(message, str):
            raise BadMessage("a binary message; only text messages are taken.")
        if len(message) > LONGEST_MESSAGE:
            raise BadMessage(f"a message of {len(message)} characters; at most {LONGEST_MESSAGE} are taken.")
        try:
            data = json.loads(message)
        except (ValueError, RecursionError):
            raise BadMessage("a message that is not JSON.") from None
        if not isinstance(data, dict):
            raise BadMessage("a message that is not a JSON object.")
        return data

    def _sound(self, media: object) -> list[WireEvent]:
        """The audio of a `media` object, checked by the provider's rules."""
        if not isinstance(media, dict) or not isinstance(media.get("payload"), str):
            raise BadMessage("sound without a `media.payload`.")
        try:
            payload = binascii.a2b_base64(media["payload"], strict_mode=True)
        except ValueError:
            raise BadMessage("a payload that is not base64.") from None
        complaints: list[WireEvent] = [
            BotBad(f"{self.provider}: {reason}") for reason in self._complaints(payload)
        ]
        return [*complaints, BotSound(self._decoded(payload))]

    def _decoded(self, payload: bytes) -> bytes:
        try:
            return self._decode(payload)
        except ProtocolError as error:
            raise BadMessage(str(error)) from None

    def _complaints(self, payload: bytes) -> list[str]:
        """Faults of audio that is playable nonetheless."""
        found = []
        if not payload:
            found.append("a media message without sound.")
        if payload.startswith(b"RIFF"):
            found.append("a WAV header in the sound; send raw samples.")
        if is_base64_twice(payload):
            found.append("a payload that was base64-encoded twice; encode it once.")
        if self.media_format.bytes_per_sample == 1 and is_pcm16(payload):
            found.append(f"16-bit PCM in a stream of {self.media_format}; encode it as G.711 first.")
        return found

    def _lasting_ms(self, payload: bytes) -> float:
        return len(payload) / self.media_format.bytes_per_sample * 1000 / self.sample_rate


def text_of(holder: object, key: str) -> str:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, str) or not value:
        raise BadMessage(f"no `{key}`.")
    return value


# `json.dumps` would create an encoder for each message.
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def compact(message: Mapping[str, Any]) -> str:
    return _ENCODER.encode(message)


PATH = "/ws-client"


class PlainWire(Wire):
    """A plain client: no opening, no `stop`, 20 ms of pcm per message. The rates are in the socket's URL."""

    provider = "websocket"
    default_encoding = "l16"
    _default_ids = ("", "", "")
    _token = ""

    @property
    def query(self) -> str:
        """The query that requests this wire's rates, and marks."""
        return f"sample_rate={self.sample_rate}&output_sample_rate={self.sample_rate}&marks=1"

    def address_again(self, url: str) -> str:
        """The URL with the token that the first socket received."""
        parts = urlsplit(url)
        base = parts.path.partition(f"{PATH}/")[0].removesuffix(PATH)
        return urlunsplit(parts._replace(path=f"{base}{PATH}/{self._token}")) if self._token else url

    def again(self, *, encoding: str | None = None, sample_rate: int | None = None) -> Self:
        wire = super().again(encoding=encoding, sample_rate=sample_rate)
        wire._token = self._token
        return wire

    def opening(self) -> list[str | bytes]:
        return []

    def media(self, pcm: bytes, now: float = 0.0) -> bytes:
        return pcm

    def dtmf(self, digit: str) -> str:
        raise ValueError("a plain client has no keys")

    def mark_reached(self, name: str) -> str:
        return json.dumps({"label": LABEL, "type": "mark", "name": name})

    def receive(self, message: str | bytes) -> list[WireEvent]:
        return [BotSound(message)] if isinstance(message, bytes) else super().receive(message)

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        if data.get("label") == LABEL and data.get("type") == "session":
            self._token = str(data.get("token") or self._token)
            return []
        if data.get("label") != LABEL:
            return []
        if data.get("type") == "clear":
            return [BotClear()]
        if data.get("type") == "mark" and isinstance(data.get("name"), str):
            return [BotMark(data["name"])]
        raise BadMessage(f"an unknown message {data.get('type')!r}; there are session, clear and mark.")
