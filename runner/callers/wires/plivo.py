"""Plivo's end (PROTOCOLS.md §3): no `connected`, no `stop`, numbers as numbers, wall-clock timestamps."""

from __future__ import annotations

from collections.abc import Mapping
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

_PAIRS = (("audio/x-l16", 8000), ("audio/x-l16", 16000), ("audio/x-mulaw", 8000))


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
        if (content_type, rate) not in _PAIRS or isinstance(rate, bool):
            raise BadMessage(f"sound as {content_type!r} at {rate!r} Hz, which Plivo does not offer.")
        told = (parse_encoding(content_type), rate)
        if told != (self.media_format.encoding, self.sample_rate):
            return [BotBad(f"plivo: {content_type} at {rate} Hz on a stream of {self.media_format}.")]
        return []
