"""A voice-like sound with a chirp every second, and how the chirps are found again."""

from __future__ import annotations

from typing import Any

import numpy as np

RATE = 48000
CHIRP_EVERY_SECS, CHIRP_SECS = 1.0, 0.08
FOUND_FROM = 0.5
Sound = np.ndarray[Any, np.dtype[Any]]


def chirp(rate: int, number: int) -> Sound:
    """80 ms between 400 and 3300 Hz; eight kinds, so that one is not taken for its neighbour."""
    t = np.arange(round(rate * CHIRP_SECS)) / rate
    low, high = [(400, 2400), (700, 3000), (1000, 3300), (500, 1500)][number % 4]
    begin, end = (low, high) if number % 8 < 4 else (high, low)
    return (
        np.sin(2 * np.pi * (begin * t + (end - begin) * t * t / (2 * CHIRP_SECS)))
        * np.hanning(len(t)) ** 0.25
    )


def voice(secs: float) -> Sound:
    """Something with pitch and syllables, and the chirps."""
    chance, t = np.random.default_rng(5), np.arange(round(secs * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(130 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    sound = sum(np.sin(k * phase + k) / k**0.8 for k in range(1, 16)) / 4
    sound = sound * np.clip(np.sin(2 * np.pi * 3.5 * t) + 0.3, 0, 1) * 0.12 + chance.normal(0, 0.002, len(t))
    for number in range(int(secs / CHIRP_EVERY_SECS) - 1):
        at = round((number + 0.5) * CHIRP_EVERY_SECS * RATE)
        piece = chirp(RATE, number)
        sound[at : at + len(piece)] = sound[at : at + len(piece)] * 0.1 + 0.5 * piece
    return (np.clip(sound, -1, 1) * 32767).astype("<i2")


def find_chirp(sound: Sound, rate: int, number: int) -> int | None:
    """Where it begins, by normalised correlation."""
    wanted = chirp(rate, number)
    if len(sound) < len(wanted):
        return None
    size = 1 << (len(sound) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(wanted, size))
    likeness = np.fft.irfft(spectrum, size)[: len(sound) - len(wanted) + 1]
    energy = np.concatenate([[0.0], np.cumsum(sound * sound)])
    energy = energy[len(wanted) :] - energy[: -len(wanted)]
    likeness = likeness / np.sqrt(np.maximum(energy, 1e-6) * (wanted @ wanted))
    at = int(np.argmax(likeness))
    return at if likeness[at] >= FOUND_FROM else None


def chirps_found(pcm: bytes, rate: int, secs: float) -> list[int]:
    """One if the chirp is there within half a second, for each of those that were sent."""
    sound = np.frombuffer(pcm, "<i2").astype(float)
    if not len(sound):
        return []
    first = next((n for n in range(3) if find_chirp(sound[: 4 * rate], rate, n) is not None), 0)
    origin = (find_chirp(sound[: 4 * rate], rate, first) or 0) - round((first + 0.5) * rate)
    found = []
    for number in range(first, int(secs) - 2):
        at = max(0, origin + round(number * CHIRP_EVERY_SECS * rate))
        found.append(int(find_chirp(sound[at : at + rate * 3 // 2], rate, number) is not None))
    return found
