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
