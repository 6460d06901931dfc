"""The probe sound: chirps in speech-like sound, and the search for them in the echo. Pure.

Latency: from sending the message with a chirp's first sample to the arrival of the message that contains it
again. The chirps are at random offsets, so that packet lengths do not bias the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float64]

CHIRP_S = 0.08
EVERY_S, OFFSET_S = 1.0, 0.5
"""Interval (s) between chirps, and maximum random delay (s) of each. The delay exceeds the length of any
message (Exotel's are 200 ms), so chirps are spread evenly over the positions in a message."""

LOOP_S = 16
KINDS = 8
"""Number of kinds of chirps, used in turn, so that an echo seconds late differs from its neighbours."""

BANDS_HZ = ((420, 2300), (650, 2900), (950, 3250), (450, 1600))
"""Ranges that the chirps sweep, up or down; all within a telephone's band."""

NEAR_S, FAR_S = 0.6, 4.0
"""Ranges (s) after the sending to search for an echo; the near one is searched first, which is cheaper."""

ALIKE = 0.5
"""Minimum correlation that counts as the chirp."""

JITTER_BUFFER_S = 0.04
"""The listener's jitter buffer (s); audio that is later than this leaves a hole."""


@cache
def chirp(kind: int, sample_rate: int) -> Sound:
    """One kind of chirp, amplitude 1."""
    low, high = BANDS_HZ[kind % len(BANDS_HZ)]
    begin, end = (low, high) if kind < len(BANDS_HZ) else (high, low)
    time = np.arange(int(CHIRP_S * sample_rate)) / sample_rate
    hertz = begin + (end - begin) * time / CHIRP_S
    swept = np.sin(2 * np.pi * np.cumsum(hertz) / sample_rate)
    return np.asarray(swept * np.minimum(1, 8 * np.sin(np.pi * time / CHIRP_S)))


@dataclass(frozen=True, eq=False)
class ProbeSound:
    """A looped sound: `chirps` are positions (samples) and kinds."""

    pcm: bytes
    sample_rate: int
    chirps: tuple[tuple[int, int], ...]

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2

    def piece(self, index: int, samples: int) -> bytes:
        """The `index`-th piece of `samples` samples; the loop is a whole number of pieces long."""
        at = 2 * (index * samples % self.samples)
        return self.pcm[at : at + 2 * samples]


@cache
def probe_sound(seed: int, sample_rate: int) -> ProbeSound:
    """Speech-like sound of about -26 dBFS with pauses, in a quiet room, and the chirps."""
    rng = np.random.default_rng(seed)
    count = LOOP_S * sample_rate
    sound = _speech_like(rng, count, sample_rate) + rng.normal(0, 0.0015, count)
    chirps = []
    for index in range(LOOP_S):
        at = int((index * EVERY_S + 0.2 + rng.random() * OFFSET_S) * sample_rate)
        shape = chirp(index % KINDS, sample_rate)
        sound[at : at + len(shape)] = 0.1 * sound[at : at + len(shape)] + 0.5 * shape
        chirps.append((at, index % KINDS))
    pcm = (sound * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    return ProbeSound(pcm, sample_rate, tuple(chirps))


def _speech_like(rng: np.random.Generator, count: int, sample_rate: int) -> Sound:
    """Vowels with varying pitch, three to four syllables per second, and occasional pauses."""
    time = np.arange(count) / sample_rate
    pitch = 105 + 70 * rng.random() + 12 * np.sin(2 * np.pi * 0.6 * time + 6 * rng.random())
    turns = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = sum(np.sin(n * turns + 6 * rng.random()) / n for n in range(1, 15))
    syllables = np.clip(np.sin(2 * np.pi * (3 + rng.random()) * time) + 0.3, 0, 1)
    pauses = np.sin(2 * np.pi * 0.21 * time + 6 * rng.random()) > -0.5
    return np.asarray(0.12 * voice / np.abs(voice).max() * syllables * pauses)


# ------------------------------------------------------------------ echoes


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound that arrived at `at` (s)."""

    at: float
    sound: Sound


@dataclass(frozen=True)
class Echoes:
    """The echoes of one call.

    Attributes:
        latencies: (time sent, latency in s) of each chirp that came back.
        lost: number of chirps that did not come back.
        returned: share of the audio sent that came back.
        holes_s: lengths (s) of the holes that a listener would have heard.
    """

    latencies: tuple[tuple[float, float], ...]
    lost: int
    returned: float
    holes_s: tuple[float, ...]


def find_echoes(
    probe: ProbeSound,
    sent_at: Sequence[float],
    ptime_s: float,
    heard: Sequence[Heard],
    begin: float,
    end: float,
) -> Echoes:
    """The echoes of the pieces sent between `begin` and `end` (s)."""
    piece = round(ptime_s * probe.sample_rate)
    track = _Track(heard, probe.sample_rate)
    found, lost = [], 0
    for position, kind in _chirps_sent(probe, len(sent_at) * piece):
        left = sent_at[position // piece]
        if begin <= left < end:
            arrived = track.find(kind, left)
            lost += arrived is None
            if arrived is not None:
                found.append((left, arrived - left))
    sent_s = ptime_s * sum(begin <= at < end for at in sent_at)
    returned = track.seconds_between(begin, end) / sent_s if sent_s else 0.0
    return Echoes(tuple(found), lost, returned, tuple(track.holes_s(begin, end)))


def _chirps_sent(probe: ProbeSound, samples: int) -> list[tuple[int, int]]:
    rounds = range(0, samples, probe.samples)
    every = ((at + first, kind) for first in rounds for at, kind in probe.chirps)
    # Only chirps that were sent completely.
    return [(at, kind) for at, kind in every if at + CHIRP_S * probe.sample_rate <= samples]


class _Track:
    """All audio received in a call, in order."""

    def __init__(self, heard: Sequence[Heard], sample_rate: int) -> None:
        self._rate = sample_rate
        self._times = np.array([part.at for part in heard])
        self._lengths = np.array([len(part.sound) for part in heard])
        self._ends = np.cumsum(self._lengths)
        self._sound = np.concatenate([part.sound for part in heard]) if heard else np.zeros(0)

    def find(self, kind: int, since: float) -> float | None:
        """When the chirp sent at `since` arrived; None if it was not found."""
        for reach in (NEAR_S, FAR_S):
            # The message before may contain its start, because times are those of whole messages.
            first = max(0, int(np.searchsorted(self._times, since)) - 1)
            last = int(np.searchsorted(self._times, since + reach))
            if last <= first:
                continue
            begin = int(self._ends[first - 1]) if first else 0
            place = find_chirp(self._sound[begin : self._ends[last - 1]], kind, self._rate)
            if place is not None:
                return float(self._times[np.searchsorted(self._ends, begin + place, side="right")])
        return None

    def seconds_between(self, begin: float, end: float) -> float:
        """How much audio (s) arrived between these times; a message counts as spread over its length before
        its arrival."""
        lasting = self._lengths / self._rate
        within = np.minimum(self._times, end) - np.maximum(self._times - lasting, begin)
        return float(np.clip(within, 0, None).sum()) if len(lasting) else 0.0

    def holes_s(self, begin: float, end: float) -> list[float]:
        """The holes (s) heard by a listener who plays all audio in order, with `JITTER_BUFFER_S`."""
        found, free_at = [], None
        for at, samples in zip(self._times, self._lengths, strict=True):
            if not begin <= at < end:
                continue
            if free_at is None:
                free_at = at + JITTER_BUFFER_S
            elif at > free_at:
                found.append(float(at - free_at))
                free_at = at + JITTER_BUFFER_S
            free_at += samples / self._rate
        return found


def find_chirp(sound: Sound, kind: int, sample_rate: int) -> int | None:
    """Position of a chirp: the best match of a normalised correlation; None if there is none."""
    shape = chirp(kind, sample_rate)
    places = len(sound) - len(shape) + 1
    if places <= 0:
        return None
    size = 1 << (len(sound) + len(shape) - 1).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(shape, size))
    match = np.fft.irfft(spectrum, size)[:places]
    energy = np.concatenate([[0.0], np.cumsum(sound * sound)])
    around = energy[len(shape) :] - energy[: -len(shape)]
    # In near silence, noise would correlate with anything.
    alike = match / np.sqrt(np.maximum(around, 1e-3) * (shape @ shape))
    best = int(np.argmax(alike))
    return best if alike[best] >= ALIKE else None
