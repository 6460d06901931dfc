"""DTMF: generates and detects the tones of a phone's sixteen keys.

Frequencies: ITU-T Q.23. Timing: Q.24 asks receivers to accept tones and pauses of 40 ms and more; we send
longer ones, because some receivers are worse than that.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

LOW_HZ = (697, 770, 852, 941)
HIGH_HZ = (1209, 1336, 1477, 1633)
KEYPAD = ("123A", "456B", "789C", "*0#D")

TONE_MS = 100
GAP_MS = 80

# Peaks, as a share of full scale; the high tone is a little louder, since lines attenuate it more (Q.23
# allows 4 dB).
_LOW_LEVEL = 0.22
_HIGH_LEVEL = 0.26
_EDGE_MS = 4


@lru_cache(maxsize=64)
def tones(digit: str, sample_rate: int, *, duration_ms: int = TONE_MS, gap_ms: int = GAP_MS) -> bytes:
    """One key as pcm at `sample_rate` Hz: its two tones, then silence."""
    low, high = _frequencies(digit)
    count = sample_rate * duration_ms // 1000
    time = np.arange(count) / sample_rate
    wave = _LOW_LEVEL * np.sin(2 * np.pi * low * time) + _HIGH_LEVEL * np.sin(2 * np.pi * high * time)
    wave *= _edges(count, sample_rate * _EDGE_MS // 1000)
    return (wave * 32767).astype("<i2").tobytes() + bytes(2 * (sample_rate * gap_ms // 1000))


def _frequencies(digit: str) -> tuple[int, int]:
    for row, keys in enumerate(KEYPAD):
        if len(digit) == 1 and digit.upper() in keys:
            return LOW_HZ[row], HIGH_HZ[keys.index(digit.upper())]
    raise ValueError(f"{digit[:10]!r} is not a key of a phone: one of 0-9 * # A-D.")


def _edges(count: int, edge: int) -> npt.NDArray[np.float64]:
    """Fade-in and fade-out: a hard edge clicks, and rings in every filter on the way."""
    envelope = np.ones(count)
    edge = min(edge, count // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(edge) / max(1, edge))
    envelope[:edge], envelope[count - edge :] = ramp, ramp[::-1]
    return envelope


_BLOCK_MS = 25.6
"""205 samples at 8 kHz: bins of 39 Hz, narrow enough to separate any two of the eight tones."""
_QUIETEST = 0.005
"""RMS of full scale (-46 dBFS)."""
_PURITY = 0.7
"""Minimum share of all power that is in the two tones; speech stays far below."""
_MOST_TWIST = 10 ** (9 / 10)
"""Maximum power ratio of the two tones, either way."""
_HEARD_BLOCKS = 2
_GONE_BLOCKS = 2
"""Number of successive half-overlapping blocks that start a key, and that end it."""


class DTMFDetector:
    """Finds keys in a stream of pcm (mono, `sample_rate` Hz), cut anywhere: Goertzel's eight filters.

    Each press is reported once, some 40 ms after it began.
    """

    def __init__(self, sample_rate: int) -> None:
        self._size = round(sample_rate * _BLOCK_MS / 1000)
        self._hop = self._size // 2
        angle = np.outer(LOW_HZ + HIGH_HZ, np.arange(self._size)) * 2 * np.pi / sample_rate
        self._filters = np.exp(-1j * angle)
        self._rest = b""
        self._candidate = ""
        self._run = 0
        self._silent_run = 0
        self._pressed = ""

    def feed(self, pcm: bytes) -> str:
        """Take pcm; return the keys recognised since, in order (mostly none)."""
        self._rest += pcm
        samples = np.frombuffer(self._rest[: len(self._rest) // 2 * 2], "<i2").astype(np.float64) / 32768
        count = max(0, (len(samples) - self._size) // self._hop + 1)
        keys = "".join(
            self._step(self._key_in(samples[at : at + self._size]))
            for at in range(0, count * self._hop, self._hop)
        )
        self._rest = self._rest[2 * count * self._hop :]
        return keys

    def _step(self, key: str) -> str:
        self._run = self._run + 1 if key and key == self._candidate else 1
        self._candidate = key
        self._silent_run = self._silent_run + 1 if key != self._pressed else 0
        if self._silent_run >= _GONE_BLOCKS:
            self._pressed = ""
        if not key or key == self._pressed or self._run < _HEARD_BLOCKS:
            return ""
        self._pressed, self._silent_run = key, 0
        return key

    def _key_in(self, block: npt.NDArray[np.float64]) -> str:
        power = float(np.mean(block * block))
        if power < _QUIETEST**2:
            return ""
        # A sine of amplitude a gives |sum| = a·n/2 and has the power a²/2.
        found = 2 * np.abs(self._filters @ block / self._size) ** 2
        low, high = int(np.argmax(found[:4])), int(np.argmax(found[4:]))
        low_power, high_power = float(found[low]), float(found[4 + high])
        if low_power + high_power < _PURITY * power:
            return ""
        if high_power > _MOST_TWIST * low_power or low_power > _MOST_TWIST * high_power:
            return ""
        return KEYPAD[low][high]
