"""The providers' side of the media socket: Twilio, Exotel, Telnyx and Plivo (PROTOCOLS.md §1 to §4).

Twilio and Exotel send all numbers as strings. Telnyx is in rtp mode, where media can arrive out of order;
here it is numbered in order, and the simulated line (`--jitter`) reorders it. Plivo sends no `connected` and
no `stop`, numbers as numbers, and wall-clock timestamps.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from runner.callers.wires.base import (
    BadMessage,
    BotBad,
    BotClear,
    BotDTMF,
    BotMark,
    Wire,
    WireEvent,
    compact,
    text_of,
)
from runner.serializers.wire import parse_encoding


class _EnvelopeWire(Wire):
    """A wire whose messages have event, sequence number, stream id, and content under the event's name.

    All numbers are strings.
    """

    _sequence_name = "sequence_number"
    _stream_name = "stream_sid"
    _track: Mapping[str, str] = MappingProxyType({"track": "inbound"})
    _unknown_event = ""

    def _message(self, event: str, content: Mapping[str, Any]) -> str:
        envelope = {
            "event": event,
            self._sequence_name: str(self._next_sequence()),
            self._stream_name: self.facts.stream_id,
        }
        return compact(envelope | {event: content})

    def media(self, pcm: bytes, now: float = 0.0) -> str:
        chunk, stamp_ms, payload = self._next_chunk(pcm)
        content = {"chunk": str(chunk), "timestamp": str(stamp_ms), "payload": payload}
        return self._message("media", {**self._track, **content})

    def mark_reached(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        event = text_of(data, "event")
        if event not in ("media", "mark", "clear"):
            raise BadMessage(
                f"an unknown event {event!r}{self._unknown_event}; there are media, mark and clear."
            )
        self._check_stream(data, event)
        if event == "media":
            return self._sound(data.get("media"))
        return [BotClear()] if event == "clear" else [BotMark(text_of(data.get("mark"), "name"))]

    def _check_stream(self, data: Mapping[str, Any], event: str) -> None:
        if text_of(data, self._stream_name) != self.facts.stream_id:
            raise BadMessage(f"a {event} for another `{self._stream_name}`.")


class TwilioWire(_EnvelopeWire):
    """`connected`, `start`, 20 ms media, `dtmf`, `mark`, `stop`; all numbers are strings."""

    provider = "twilio"
    _sequence_name = "sequenceNumber"
    _stream_name = "streamSid"
    _unknown_event = " (Twilio's warning 31924)"
    _default_ids = (
        "MZ00000000000000000000000000000001",
        "CA00000000000000000000000000000001",
        "AC00000000000000000000000000000001",
    )

    def opening(self) -> list[str | bytes]:
        facts = self.facts
        start = {
            "accountSid": facts.account_id,
            "streamSid": facts.stream_id,
            "callSid": facts.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.sample_rate, "channels": 1},
            "customParameters": dict(facts.custom_parameters),
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [compact(connected), self._message("start", start)]

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def stop(self, reason: str = "") -> str:
        return self._message("stop", {"accountSid": self.facts.account_id, "callSid": self.facts.call_id})


_EXOTEL_MULTIPLE = 320
_EXOTEL_LEAST = 3200
_EXOTEL_MOST = 100_000
_EXOTEL_SHORTEST_MS = 100


class ExotelWire(_EnvelopeWire):
    """`connected`, `start`, 100 ms media, `dtmf`, `mark`, `stop`; snake_case, numbers are strings."""

    provider = "exotel"
    _track: Mapping[str, str] = MappingProxyType({})
    ptime_ms = 100
    default_encoding = "audio/x-raw"
    _default_ids = ("MZ-exotel-stream-1", "CA-exotel-call-1", "AC-exotel-1")

    def opening(self) -> list[str | bytes]:
        facts = self.facts
        start = {
            "stream_sid": facts.stream_id,
            "call_sid": facts.call_id,
            "account_sid": facts.account_id,
            "from": facts.from_number,
            "to": facts.to_number,
            "custom_parameters": dict(facts.custom_parameters),
            "media_format": {
                "encoding": self.encoding,
                "sample_rate": str(self.sample_rate),
                "bit_rate": str(8 * self.media_format.bytes_per_sample),
            },
        }
        return [compact({"event": "connected"}), self._message("start", start)]

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"digit": digit, "duration": "100"})

    def stop(self, reason: str = "callended") -> str:
        facts = self.facts
        content = {
            "call_sid": facts.call_id,
            "account_sid": facts.account_id,
            "reason": reason or "callended",
        }
        return self._message("stop", content)

    def _complaints(self, payload: bytes) -> list[str]:
        found = super()._complaints(payload)
        size = len(payload)
        if size % _EXOTEL_MULTIPLE:
            found.append(f"a media message of {size} bytes, not a multiple of {_EXOTEL_MULTIPLE}.")
        if size < _EXOTEL_LEAST or self._lasting_ms(payload) < _EXOTEL_SHORTEST_MS:
            found.append(f"a media message of {size} bytes; the least is {_EXOTEL_LEAST} bytes and 100 ms.")
        if size > _EXOTEL_MOST:
            found.append(f"a media message of {size} bytes; {_EXOTEL_MOST} is the most.")
        return found


_TELNYX_SHORTEST_MS = 20
_TELNYX_LONGEST_MS = 30_000


class TelnyxWire(_EnvelopeWire):
    """`connected`, `start`, 20 ms media, `dtmf`, `mark`, `stop`; snake_case, numbers are strings."""

    provider = "telnyx"
    _stream_name = "stream_id"
    default_encoding = "PCMU"
    _default_ids = ("32de0dea-0000-4000-8000-000000000001", "v3:call-control-1", "user-1")

    def opening(self) -> list[str | bytes]:
        facts = self.facts
        start = {
            "user_id": facts.account_id,
            "call_control_id": facts.call_id,
            "call_session_id": "session-1",
            "from": facts.from_number,
            "to": facts.to_number,
            "tags": [],
            "client_state": "",
            "custom_parameters": dict(facts.custom_parameters),
            "media_format": {"encoding": self.encoding, "sample_rate": self.sample_rate, "channels": 1},
        }
        return [compact({"event": "connected", "version": "1.0.0"}), self._message("start", start)]

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"digit": digit})

    def stop(self, reason: str = "") -> str:
        content = {"user_id": self.facts.account_id, "call_control_id": self.facts.call_id}
        return self._message("stop", content)

    def error(self, title: str = "malformed_frame", detail: str = "") -> str:
        """Telnyx's error message for a message that it rejects."""
        payload = {"code": 100003, "title": title, "detail": detail}
        return compact({"event": "error", "stream_id": self.facts.stream_id, "payload": payload})

    def _check_stream(self, data: Mapping[str, Any], event: str) -> None:
        """Does nothing: Telnyx ignores the id."""

    def _complaints(self, payload: bytes) -> list[str]:
        found = super()._complaints(payload)
        lasting_ms = self._lasting_ms(payload)
        if not _TELNYX_SHORTEST_MS <= lasting_ms <= _TELNYX_LONGEST_MS:
            found.append(f"a media message of {lasting_ms:g} ms; 20 ms to 30 s are taken.")
        return found


_PLIVO_FORMATS = (("audio/x-l16", 8000), ("audio/x-l16", 16000), ("audio/x-mulaw", 8000))


class PlivoWire(Wire):
    """`start`, 20 ms media, `dtmf`, `playedStream`, `clearedAudio`; then the socket closes."""

    provider = "plivo"
    _default_ids = (
        "b77e037d-0000-4000-8000-000000000001",
        "c11e037d-0000-4000-8000-000000000002",
        "MA000000000000000001",
    )

    def opening(self) -> list[str | bytes]:
        facts = self.facts
        start = {
            "callId": facts.call_id,
            "streamId": facts.stream_id,
            "accountId": facts.account_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.sample_rate},
        }
        opening = {"event": "start", "sequenceNumber": self._next_sequence(), "start": start}
        return [compact(opening | {"extra_headers": self._extra_headers()})]

    def _extra_headers(self) -> str:
        return ";".join(f"{key}={value}" for key, value in self.facts.custom_parameters.items())

    def media(self, pcm: bytes, now: float = 0.0) -> str:
        chunk, _, payload = self._next_chunk(pcm)
        content = {"track": "inbound", "timestamp": str(int(now * 1000)), "chunk": chunk, "payload": payload}
        return compact(
            {
                "event": "media",
                "sequenceNumber": self._next_sequence(),
                "streamId": self.facts.stream_id,
                "media": content,
                "extra_headers": self._extra_headers(),
            }
        )

    def dtmf(self, digit: str) -> str:
        return compact({"event": "dtmf", "streamId": self.facts.stream_id, "dtmf": {"digit": digit}})

    def mark_reached(self, name: str) -> str:
        return compact({"event": "playedStream", "streamId": self.facts.stream_id, "name": name})

    def cleared(self) -> str:
        return compact({"event": "clearedAudio", "streamId": self.facts.stream_id})

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        event = text_of(data, "event")
        if event == "playAudio":
            return [*self._format_complaints(data.get("media")), *self._sound(data.get("media"))]
        if event == "sendDTMF":  # documented, its fields were not read [?]
            return [BotDTMF(text_of(data, "dtmf"))]
        if event not in ("checkpoint", "clearAudio"):
            raise BadMessage(
                f"an unknown event {event!r}; there are playAudio, checkpoint, clearAudio and sendDTMF."
            )
        if text_of(data, "streamId") != self.facts.stream_id:
            raise BadMessage(f"a {event} for another `streamId`.")
        return [BotClear()] if event == "clearAudio" else [BotMark(text_of(data, "name"))]

    def _format_complaints(self, media: object) -> list[WireEvent]:
        content_type = text_of(media, "contentType")
        rate = media.get("sampleRate") if isinstance(media, dict) else None
        if (content_type, rate) not in _PLIVO_FORMATS or isinstance(rate, bool):
            raise BadMessage(f"sound as {content_type!r} at {rate!r} Hz, which Plivo does not offer.")
        announced = (parse_encoding(content_type), rate)
        if announced != (self.media_format.encoding, self.sample_rate):
            return [BotBad(f"plivo: {content_type} at {rate} Hz on a stream of {self.media_format}.")]
        return []
