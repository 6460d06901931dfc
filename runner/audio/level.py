"""Loudness of pcm, and downmixing to mono."""

from __future__ import annotations

from math import inf, log10, sqrt

import numpy as np
import numpy.typing as npt

FULL_SCALE = 32768.0

# In Pipecat a loud voice has a volume near 0.9, and the usual threshold, 0.6, is near -50 dBFS.
# These constants give the same scale: volume 0 is -110.3 dBFS and 1 is -10.3 dBFS.
_VOLUME_ZERO_DBFS = -110.3
_VOLUME_SPAN_DB = 100.0
_SILENCE = 1e-12  # a mean square whose volume is 0


def rms(pcm: bytes) -> float:
    """Root mean square of 16-bit samples, 0 to 32768; 0 for no samples."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    return sqrt(float(samples @ samples) / len(samples)) if len(samples) else 0.0


def to_dbfs(amplitude: float) -> float:
    """Decibels below full scale of an RMS amplitude, 0 to 32768; -inf for silence."""
    return 20 * log10(amplitude / FULL_SCALE) if amplitude > 0 else -inf


def to_volume(amplitude: float) -> float:
    """Volume, 0 to 1, of an RMS amplitude, 0 to 32768."""
    return min(1.0, max(0.0, (to_dbfs(amplitude) - _VOLUME_ZERO_DBFS) / _VOLUME_SPAN_DB))


def to_volumes(mean_squares: npt.NDArray[np.float32]) -> list[float]:
    """`to_volume` of many values at once, given the mean squares of samples in -1 to 1."""
    dbfs = 10 * np.log10(np.maximum(mean_squares, _SILENCE, dtype=np.float64))
    volumes: list[float] = ((dbfs - _VOLUME_ZERO_DBFS) / _VOLUME_SPAN_DB).clip(0.0, 1.0).tolist()
    return volumes


def dbfs(pcm: bytes) -> float:
    """Decibels below full scale (a full-scale square wave is 0); -inf for silence."""
    return to_dbfs(rms(pcm))


def volume(pcm: bytes) -> float:
    """Loudness from 0 to 1 on the scale of `VADParams.min_volume`: 0.6 is about -50 dBFS."""
    return to_volume(rms(pcm))


def downmix(pcm: bytes, channels: int = 2) -> bytes:
    """One channel, the mean of interleaved ones, rounded to the nearest sample."""
    if channels == 1:
        return pcm
    samples = np.frombuffer(pcm, "<i2").reshape(-1, channels)
    mono: npt.NDArray[np.int16] = np.rint(samples.mean(axis=1, dtype=np.float32)).astype("<i2")
    return mono.tobytes()
