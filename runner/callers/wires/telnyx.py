"""Telnyx's end (PROTOCOLS.md §2), in rtp mode. Its media may overtake one another; that is the line's doing
(`--jitter`), here they are numbered in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.callers.wires.base import BadMessage, BotClear, BotMark, Wire, WireEvent, compact, text_of

_SHORTEST_MS = 20
_LONGEST_MS = 30_000


class TelnyxWire(Wire):
    """`connected`, `start`, 20 ms media, `dtmf`, `mark`, `stop`; snake_case, numbers are strings."""

    provider = "telnyx"
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

    def _message(self, event: str, content: Mapping[str, Any]) -> str:
        return compact(
            {
                "event": event,
                "sequence_number": str(self._next_sequence()),
                "stream_id": self.facts.stream_id,
                event: content,
            }
        )

    def media(self, pcm: bytes, now: float = 0.0) -> str:
        chunk, stamp_ms, payload = self._next_chunk(pcm)
        content = {"track": "inbound", "chunk": str(chunk), "timestamp": str(stamp_ms), "payload": payload}
        return self._message("media", content)

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"digit": digit})

    def mark_reached(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self, reason: str = "") -> str:
        content = {"user_id": self.facts.account_id, "call_control_id": self.facts.call_id}
        return self._message("stop", content)

    def error(self, title: str = "malformed_frame", detail: str = "") -> str:
        """What Telnyx sends back for a message that it does not take."""
        payload = {"code": 100003, "title": title, "detail": detail}
        return compact({"event": "error", "stream_id": self.facts.stream_id, "payload": payload})

    def _receive(self, data: Mapping[str, Any]) -> list[WireEvent]:
        event = text_of(data, "event")
        if event == "media":
            return self._sound(data.get("media"))
        if event == "mark":
            return [BotMark(text_of(data.get("mark"), "name"))]
        if event == "clear":
            return [BotClear()]
        raise BadMessage(f"an unknown event {event!r}; there are media, mark and clear.")

    def _complaints(self, payload: bytes) -> list[str]:
        found = super()._complaints(payload)
        lasting_ms = self._lasting_ms(payload)
        if not _SHORTEST_MS <= lasting_ms <= _LONGEST_MS:
            found.append(f"a media message of {lasting_ms:g} ms; 20 ms to 30 s are taken.")
        return found
