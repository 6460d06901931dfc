"""Twilio's end (PROTOCOLS.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.callers.wires.base import BadMessage, BotClear, BotMark, Wire, WireEvent, compact, text_of


class TwilioWire(Wire):
    """`connected`, `start`, 20 ms media, `dtmf`, `mark`, `stop`; all numbers are strings."""

    provider = "twilio"
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

    def _message(self, event: str, content: Mapping[str, Any]) -> str:
        return compact(
            {
                "event": event,
                "sequenceNumber": str(self._next_sequence()),
                "streamSid": self.facts.stream_id,
                event: content,
            }
        )

    def media(self, pcm: bytes, now: float = 0.0) -> str:
        chunk, stamp_ms, payload = self._next_chunk(pcm)
        content = {"track": "inbound", "chunk": str(chunk), "timestamp": str(stamp_ms), "payload": payload}
        return self._message("media", content)

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark_reached(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self, reason: str = "") -> str:
        return self._message("stop", {"accountSid": self.facts.account_id, "callSid": self.facts.call_id})

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        event = text_of(data, "event")
        if event not in ("media", "mark", "clear"):
            raise BadMessage(
                f"an unknown event {event!r} (Twilio's warning 31924); there are media, mark, clear."
            )
        if text_of(data, "streamSid") != self.facts.stream_id:
            raise BadMessage(f"a {event} for another `streamSid`.")
        if event == "media":
            return self._sound(data.get("media"))
        return [BotClear()] if event == "clear" else [BotMark(text_of(data.get("mark"), "name"))]


_MULTIPLE = 320
_SMALLEST = 3200
_LARGEST = 100_000
_SHORTEST_MS = 100


class ExotelWire(Wire):
    """`connected`, `start`, 100 ms media, `dtmf`, `mark`, `stop`; snake_case, numbers are strings."""

    provider = "exotel"
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

    def _message(self, event: str, content: Mapping[str, Any]) -> str:
        return compact(
            {
                "event": event,
                "sequence_number": str(self._next_sequence()),
                "stream_sid": self.facts.stream_id,
                event: content,
            }
        )

    def media(self, pcm: bytes, now: float = 0.0) -> str:
        chunk, stamp_ms, payload = self._next_chunk(pcm)
        return self._message("media", {"chunk": str(chunk), "timestamp": str(stamp_ms), "payload": payload})

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"digit": digit, "duration": "100"})

    def mark_reached(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self, reason: str = "callended") -> str:
        facts = self.facts
        content = {
            "call_sid": facts.call_id,
            "account_sid": facts.account_id,
            "reason": reason or "callended",
        }
        return self._message("stop", content)

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        event = text_of(data, "event")
        if event not in ("media", "mark", "clear"):
            raise BadMessage(f"an unknown event {event!r}; there are media, mark and clear.")
        if text_of(data, "stream_sid") != self.facts.stream_id:
            raise BadMessage(f"a {event} for another `stream_sid`.")
        if event == "media":
            return self._sound(data.get("media"))
        return [BotClear()] if event == "clear" else [BotMark(text_of(data.get("mark"), "name"))]

    def _complaints(self, payload: bytes) -> list[str]:
        found = super()._complaints(payload)
        size = len(payload)
        if size % _MULTIPLE:
            found.append(f"a media message of {size} bytes, not a multiple of {_MULTIPLE}.")
        if size < _SMALLEST or self._lasting_ms(payload) < _SHORTEST_MS:
            found.append(f"a media message of {size} bytes; the least is {_SMALLEST} bytes and 100 ms.")
        if size > _LARGEST:
            found.append(f"a media message of {size} bytes; {_LARGEST} is the most.")
        return found
