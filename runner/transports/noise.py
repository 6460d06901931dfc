"""WebRTC's noise suppression, by the package `webrtc-noise-gain` (Apache-2.0; tried with 1.3.0)."""

from __future__ import annotations

from typing import Any

from runner.audio.mixer import AudioFilter
from runner.audio.resampler import Resampler
from runner.errors import MissingPackageError, UsageError

RATE = 16000
PIECE_BYTES = RATE // 100 * 2
"""The package processes 10 ms of mono pcm at 16 kHz at a time (its METADATA, "Usage")."""

STRONGEST = 4


class NoiseFilter(AudioFilter):
    """Removes steady noise (fan, car, hiss) from the caller's sound; other people's voices remain.

    Args:
        strength: 1 to 4; a higher one also affects the voice more.

    Raises:
        MissingPackageError: `pip install 'botrun[noise]'`.
    """

    def __init__(self, strength: int = 2) -> None:
        if not 1 <= strength <= STRONGEST:
            raise UsageError(f"NoiseFilter: strength must be 1 to {STRONGEST}, not {strength}")
        try:
            from webrtc_noise_gain import AudioProcessor
        except ImportError:
            raise MissingPackageError(
                "noise suppression", "webrtc-noise-gain", "pip install 'botrun[noise]'"
            ) from None
        self._processor: Any = AudioProcessor(0, strength)
        self._waiting = b""
        self._there = self._back = Resampler(RATE, RATE)

    def filter(self, pcm: bytes, sample_rate: int) -> bytes:
        if self._there.rate_in != sample_rate:
            self._there, self._back = Resampler(sample_rate, RATE), Resampler(RATE, sample_rate)
        pcm = self._waiting + self._there.process(pcm)
        whole = len(pcm) - len(pcm) % PIECE_BYTES
        self._waiting = pcm[whole:]
        pieces = (pcm[start : start + PIECE_BYTES] for start in range(0, whole, PIECE_BYTES))
        return self._back.process(b"".join(self._processor.Process10ms(piece).audio for piece in pieces))
