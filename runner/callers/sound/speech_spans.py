"""When the bot is heard to speak, from the sound alone: pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runner.callers.sound.microphone import AUDIBLE

PAUSE_S = 0.25
"""A silence (s) up to this is within a span of speech; so is the closure of a `p`, or a comma."""


@dataclass(slots=True)
class Span:
    """Sound from `begin` to `end` (s)."""

    begin: float
    end: float

    @property
    def duration_s(self) -> float:
        return self.end - self.begin


class SpeechDetector:
    """Takes what is heard, in order, and finds the spans in which there is sound.

    Attributes:
        spans: those found so far; the last one may still grow.
    """

    def __init__(self, sample_rate: int, *, pause_s: float = PAUSE_S) -> None:
        self._rate = sample_rate
        self._pause_s = pause_s
        self.spans: list[Span] = []

    def hear(self, at: float, pcm: bytes) -> None:
        """`pcm` was heard from `at` (s) on."""
        samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
        audible = np.flatnonzero(samples >= AUDIBLE)
        if not len(audible):
            return
        breaks = np.flatnonzero(np.diff(audible) > self._pause_s * self._rate) + 1
        for run in np.split(audible, breaks):
            self._heard(at + int(run[0]) / self._rate, at + (int(run[-1]) + 1) / self._rate)

    def _heard(self, begin: float, end: float) -> None:
        if self.spans and begin - self.spans[-1].end <= self._pause_s:
            self.spans[-1].end = end
        else:
            self.spans.append(Span(begin, end))

    @property
    def last_sound_at(self) -> float | None:
        """When sound was heard last (s)."""
        return self.spans[-1].end if self.spans else None

    def sounds_within(self, begin: float, end: float) -> bool:
        """Whether anything was heard between these times (s)."""
        return any(span.begin < end and span.end > begin for span in self.spans)


REPEAT_MEMORY = 25
_LOUDEST_PERIOD_MATCH = 0.98


class Repeats:
    """Notices a piece of sound that comes again: a buffer that loops. Steady tones do so by nature, and
    silence, too; they do not count.

    Attributes:
        repeated_s: sound (s) that came again.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._last: deque[bytes] = deque(maxlen=REPEAT_MEMORY)
        self.repeated_s = 0.0

    def feed(self, pcm: bytes) -> None:
        """The next message's sound."""
        if pcm in self._last and _is_distinct(np.frombuffer(pcm, "<i2").astype(np.float64), self._rate):
            self.repeated_s += len(pcm) / 2 / self._rate
        self._last.append(pcm)


def _is_distinct(sound: npt.NDArray[np.float64], rate: int) -> bool:
    """Loud enough to be speech, and unlike itself a little later."""
    if len(sound) < rate // 200 or np.abs(sound).max() < 4 * AUDIBLE:
        return False
    for lag in range(rate // 4000, len(sound) // 2):
        early, late = sound[:-lag], sound[lag:]
        power = float(np.sqrt((early @ early) * (late @ late)))
        if power > 0 and float(early @ late) / power > _LOUDEST_PERIOD_MATCH:
            return False
    return True
