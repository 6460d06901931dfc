"""Opus by PyAV's codecs: what stands in where libopus itself is not found.

It lacks what PyAV does not offer: forward error correction, concealment (silence instead), settings that
change. It decodes at 48 kHz only, so a resampler of ours follows.
"""

from __future__ import annotations

import fractions
from typing import Any

import av

from runner.audio.level import downmix
from runner.audio.resampler import Resampler

OPUS_HZ = 48000


class PyAvEncoder:
    """20 ms of mono pcm at `sample_rate` (Hz) to one packet."""

    def __init__(self, sample_rate: int, bit_rate: int) -> None:
        self._rate = sample_rate
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.format, self._codec.layout, self._codec.sample_rate = "s16", "mono", sample_rate
        self._codec.time_base = self._time_base = fractions.Fraction(1, sample_rate)
        self._codec.bit_rate = bit_rate
        self._codec.options = {"application": "lowdelay", "frame_duration": "20", "compression_level": "3"}
        self._encoded = 0

    def encode(self, pcm: bytes, *, silence: bool = False) -> bytes:
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, self._time_base, self._encoded
        frame.planes[0].update(pcm)
        self._encoded += frame.samples
        (packet,) = self._codec.encode(frame)
        return bytes(packet)

    def expect_loss(self, share: float) -> None:
        """Nothing can be done about it here."""


class PyAvDecoder:
    """Packets to mono pcm at `sample_rate` (Hz)."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.format, self._codec.layout, self._codec.sample_rate = "s16", "stereo", OPUS_HZ
        self._resampler = Resampler(OPUS_HZ, sample_rate)

    def decode(self, payload: bytes) -> bytes:
        frames: list[Any] = self._codec.decode(av.Packet(payload))
        pcm = b"".join(bytes(memoryview(frame.planes[0])[: frame.samples * 4]) for frame in frames)
        return self._resampler.process(downmix(pcm, 2))

    def conceal(self, samples: int) -> bytes:
        return bytes(samples * 2)

    def can_recover(self, following: bytes) -> bool:
        return False

    def recover(self, following: bytes, samples: int) -> bytes:
        return self.conceal(samples)
