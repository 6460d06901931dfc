"""`FastAPIWebsocketParams`: what a WebSocket transport carries."""

from __future__ import annotations

from dataclasses import dataclass

from runner.serializers.base import FrameSerializer
from runner.transports.params import TransportParams


@dataclass(kw_only=True)
class FastAPIWebsocketParams(TransportParams):
    """`TransportParams` of a WebSocket.

    Attributes:
        serializer: converts messages to frames and back; None uses the one that botrun made for this call.
        add_wav_header: put a WAV header before each chunk of sound (some plain clients need it).
        audio_out_lead_ms: how far (ms) sound is sent ahead of its playout, at most 400. Stalls up to this
            length are not audible.
    """

    serializer: FrameSerializer | None = None
    add_wav_header: bool = False
    audio_out_lead_ms: float = 120
