"""One case per provider and sound format: a serializer, and the provider's end of its wire."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from runner.callers.wires import Wire, wire_for
from runner.serializers.handshake import CallInfo, Handshake
from runner.serializers.telephony import TelephonySerializer
from runner.serializers.wire import Encoding, MediaFormat


@dataclass(frozen=True)
class Case:
    provider: str
    encoding: str
    sample_rate: int = 8000

    def __str__(self) -> str:
        return f"{self.provider}-{self.encoding.rpartition('/')[2]}-{self.sample_rate}"

    def wire(self, **options: Any) -> Wire:
        return wire_for(self.provider, encoding=self.encoding, sample_rate=self.sample_rate, **options)

    def answer(self, wire: Wire) -> CallInfo:
        handshake = Handshake()
        results = [handshake.feed(message) for message in wire.opening()]
        assert results[:-1] == [None] * (len(results) - 1)
        assert results[-1] is not None
        return results[-1]

    def call(self, **options: Any) -> tuple[Wire, TelephonySerializer]:
        """Both ends of a call whose handshake is done."""
        wire = self.wire(**options)
        result = self.answer(wire)
        # Telnyx sends back what the answer document asks for; here the same both ways.
        return wire, result.serializer(output_format=result.media_format)


CASES = [
    Case("twilio", "audio/x-mulaw"),
    Case("telnyx", "PCMU"),
    Case("telnyx", "PCMA"),
    Case("telnyx", "L16", 16000),
    Case("plivo", "audio/x-mulaw"),
    Case("plivo", "audio/x-l16", 8000),
    Case("plivo", "audio/x-l16", 16000),
    Case("exotel", "audio/x-raw", 8000),
    Case("exotel", "audio/x-raw", 16000),
    Case("exotel", "audio/x-raw", 24000),
    Case("exotel", "audio/x-mulaw", 8000),
]
ONE_EACH = [CASES[0], CASES[1], CASES[4], CASES[7]]


def sine(duration_ms: int, sample_rate: int, hz: int = 440) -> bytes:
    count = sample_rate * duration_ms // 1000
    return struct.pack(
        f"<{count}h", *(round(12000 * math.sin(2 * math.pi * hz * n / sample_rate)) for n in range(count))
    )


def rounded(pcm: bytes, media_format: MediaFormat) -> bytes:
    """What the encoding leaves of the sound."""
    from runner.audio import g711

    if media_format.encoding is Encoding.ULAW:
        return g711.ulaw_decode(g711.ulaw_encode(pcm))
    if media_format.encoding is Encoding.ALAW:
        return g711.alaw_decode(g711.alaw_encode(pcm))
    return pcm
