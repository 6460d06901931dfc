"""Log-mel spectra as speech models want them that were trained like Whisper's encoder. Pure.

Parameters as in `transformers`' WhisperFeatureExtractor (80 bands): 16 kHz, Hann windows of 25 ms every
10 ms, mel bands after Slaney from 0 to 8 kHz, decibels down to 80 below the loudest, scaled about zero.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

RATE_HZ = 16000
WINDOW = 400
HOP = 160
BANDS = 80

_LEAST_POWER = 1e-10
_RANGE = 8.0  # tenfolds of power, that is 80 dB
_LEAST_VARIANCE = 1e-7

# Slaney's mel scale: even steps up to 1 kHz, even ratios above.
_LINEAR_STEP_HZ = 200 / 3
_BEND_HZ = 1000.0
_BEND_MEL = _BEND_HZ / _LINEAR_STEP_HZ
_RATIO = np.log(6.4) / 27


def log_mel(samples: Floats) -> Floats:
    """Spectra of sound at 16 kHz, -1 to 1: (80, len / 160). Its loudness does not matter."""
    level = (samples - samples.mean()) / np.sqrt(samples.var() + _LEAST_VARIANCE)
    padded = np.pad(level.astype(np.float64), WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    # One window more than there are hops: it stands half behind the end, and is left out.
    spectra = np.fft.rfft(windows[: len(samples) // HOP] * _hann(), axis=1)
    power = _bands() @ (spectra.real**2 + spectra.imag**2).T
    tenfolds = np.log10(np.maximum(power, _LEAST_POWER))
    scaled: Floats = ((np.maximum(tenfolds, tenfolds.max() - _RANGE) + 4.0) / 4.0).astype(np.float32)
    return scaled


@cache
def _hann() -> Doubles:
    return np.hanning(WINDOW + 1)[:-1]


@cache
def _bands() -> Doubles:
    """Triangles over the spectrum's lines, each of the same area: (80, 201)."""
    lines = np.linspace(0, RATE_HZ / 2, WINDOW // 2 + 1)
    edges = _to_hz(np.linspace(0.0, _to_mel(RATE_HZ / 2), BANDS + 2))
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (lines - low) / (middle - low), (high - lines) / (high - middle)
    bands: Doubles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    return bands


def _to_mel(hz: float) -> float:
    return float(_BEND_MEL + np.log(hz / _BEND_HZ) / _RATIO) if hz >= _BEND_HZ else hz / _LINEAR_STEP_HZ


def _to_hz(mel: Doubles) -> Doubles:
    above: Doubles = _BEND_HZ * np.exp(_RATIO * (mel - _BEND_MEL))
    return np.where(mel < _BEND_MEL, mel * _LINEAR_STEP_HZ, above)
