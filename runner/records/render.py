"""What is derived from a call's sound: WAV, peaks for a waveform, where sound is audible. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runner.audio.tracks import wav_header
from runner.records.sound import CallSound, Samples

CHANNELS = ("both", "caller", "bot")
HEADER_BYTES = 44

AUDIBLE = 10 ** (-45 / 20)
"""From this level (of full scale) on a window counts as sound."""

WINDOW_S = 0.005


def pcm_of(sound: CallSound, channel: str = "both") -> bytes:
    """s16le: "both" interleaved, the caller left, or one of "caller" and "bot"."""
    if channel == "both":
        return np.stack([sound.caller, sound.bot], axis=1).astype("<i2").tobytes()
    return (sound.caller if channel == "caller" else sound.bot).astype("<i2").tobytes()


def wav_of(sound: CallSound, channel: str = "both") -> bytes:
    """A WAV file, s16le."""
    pcm = pcm_of(sound, channel)
    return wav_header(len(pcm), sound.sample_rate, 2 if channel == "both" else 1) + pcm


def wav_size(sound: CallSound, channel: str = "both") -> int:
    """The size of `wav_of` (bytes)."""
    return HEADER_BYTES + len(sound.caller) * 2 * (2 if channel == "both" else 1)


def wav_part(sound: CallSound, channel: str, first: int, end: int) -> bytes:
    """The bytes of `wav_of` from one offset to another, without making the rest."""
    frame = 4 if channel == "both" else 2
    whole = len(sound.caller) * frame
    header = wav_header(whole, sound.sample_rate, 2 if channel == "both" else 1)
    begin, until = max(first - HEADER_BYTES, 0), max(end - HEADER_BYTES, 0)
    left, right = begin // frame, -(-until // frame)
    part = CallSound(sound.sample_rate, sound.caller[left:right], sound.bot[left:right])
    pcm = pcm_of(part, channel)[begin - left * frame : until - left * frame]
    return header[first:end] + pcm


def peaks_of(samples: Samples, columns: int) -> list[int]:
    """For each column the lowest and the highest sample, -127 to 127, one after the other."""
    if columns < 1 or not len(samples):
        return [0, 0] * max(columns, 0)
    edges = np.linspace(0, len(samples), columns + 1).astype(int)[:-1]
    edges = np.minimum(edges, len(samples) - 1)
    lows, highs = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    pairs = np.stack([lows, highs], axis=1).astype(np.float64) * (127 / 32768)
    return [int(value) for value in np.rint(pairs).reshape(-1)]


def audible(samples: Samples, sample_rate: int) -> npt.NDArray[np.bool_]:
    """For each window of `WINDOW_S` whether there is sound in it."""
    size = max(1, round(WINDOW_S * sample_rate))
    count = len(samples) // size
    windows = samples[: count * size].reshape(count, size).astype(np.float64)
    levels = np.sqrt(np.mean(windows**2, axis=1)) if count else np.zeros(0)
    return np.asarray(levels > AUDIBLE * 32768)


def last_audible(samples: Samples, sample_rate: int, before_s: float, within_s: float) -> float | None:
    """When sound ended, at or before a time (s) and at most so long before it; None if there is none."""
    return _edge(samples, sample_rate, before_s - within_s, before_s, last=True)


def first_audible(samples: Samples, sample_rate: int, from_s: float, within_s: float) -> float | None:
    """When sound begins, at or after a time (s) and at most so long after it; None if there is none."""
    return _edge(samples, sample_rate, from_s, from_s + within_s, last=False)


def _edge(samples: Samples, sample_rate: int, from_s: float, to_s: float, *, last: bool) -> float | None:
    begin, end = max(0, round(from_s * sample_rate)), max(0, round(to_s * sample_rate))
    found = np.flatnonzero(audible(samples[begin:end], sample_rate))
    if not len(found):
        return None
    size = max(1, round(WINDOW_S * sample_rate))
    index = int(found[-1]) + 1 if last else int(found[0])
    return (begin + index * size) / sample_rate
