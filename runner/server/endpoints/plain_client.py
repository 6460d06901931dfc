"""The sound of a client of your own: rates, asked for in its address."""

from __future__ import annotations

from collections.abc import Mapping

from runner.audio.resampler import RATES
from runner.errors import ProtocolError
from runner.serializers.base import FrameSerializer
from runner.serializers.websocket import WebSocketFrameSerializer


def client_serializer(query: Mapping[str, str]) -> FrameSerializer:
    """Rates (Hz) from the address: `?sample_rate=16000&output_sample_rate=24000&marks=1`."""
    return WebSocketFrameSerializer(
        sample_rate=_rate(query, "sample_rate", 16000),
        output_sample_rate=_rate(query, "output_sample_rate", 24000),
        marks=query.get("marks") == "1",
    )


def _rate(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) not in RATES:
        raise ProtocolError(f"{name} is {text[:20]!r}, but must be one of {', '.join(map(str, RATES))}")
    return int(text)


def rates_of(serializer: FrameSerializer) -> dict[str, int]:
    """As its first message tells them."""
    return {
        "sample_rate": serializer.sample_rate,
        "output_sample_rate": serializer.output_sample_rate,
    }
