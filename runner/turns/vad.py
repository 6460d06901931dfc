"""Turns the model's confidence per window into "speech began" and "speech ended".

QUIET ── voice ──> STARTING ── start_secs of voice ──> SPEAKING
  ^                   │ quiet                           │  ^
  ├───────────────────┘                           quiet │  │ voice
  └─────────────── stop_secs without voice ─────── STOPPING
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# The smoothed volume reaches that of a voice within one or two windows, even from digital silence, and falls
# slowly so that it does not drop below the threshold between syllables.
_ATTACK = 0.7
_RELEASE = 0.2

# The closure of a "t" or a "k" is up to 100 ms of true silence within a word. It does not restart the count
# of `start_secs`, or "what time is it" would be detected 0.2 s later than "hello". But at least
# `_VOICED_SHARE` of that time must be voice.
_CLOSURE_SECS = 0.100
_VOICED_SHARE = 0.6

# Against rounding errors in sums: 7 windows of 0.032 s must count as 0.224 s.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class VADParams:
    """What counts as speech.

    A window is voice if the model's confidence is at least `confidence` (0 to 1) and its smoothed volume at
    least `min_volume` (0 to 1, `audio.level.volume`). Speech begins after `start_secs` of mostly voice with
    no pause over 100 ms, and ends after `stop_secs` without voice.
    """

    confidence: float = 0.7
    start_secs: float = 0.2
    stop_secs: float = 0.4
    min_volume: float = 0.6


class VADState(Enum):
    """The caller's state between silence and speech."""

    QUIET = 1
    STARTING = 2
    SPEAKING = 3
    STOPPING = 4


class VADKind(Enum):
    """What a `VADEvent` reports."""

    STARTED = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True)
class VADEvent:
    """Speech began or ended `at` this time (s); detected `start_secs` or `stop_secs` later."""

    kind: VADKind
    at: float

    @property
    def started(self) -> bool:
        return self.kind is VADKind.STARTED


class VADStateMachine:
    """Turns confidences into events, which alternate: STARTED, STOPPED, STARTED, …

    Call `update` once per window of `window_secs`; `now` is the window's end. `at` is the beginning of the
    first window of voice for a start, and the end of the last one for a stop.

    Attributes:
        state: the caller's current state.
    """

    def __init__(self, params: VADParams | None = None, *, window_secs: float = 0.032) -> None:
        self.params = params or VADParams()
        self._window_secs = window_secs
        self.reset()

    @property
    def volume(self) -> float:
        """The smoothed volume, 0 to 1."""
        return self._volume

    def may_be_voice(self, volume: float) -> bool:
        """Whether a next window of this volume is loud enough to be voice."""
        return self._smoothed(volume) >= self.params.min_volume

    def _smoothed(self, volume: float) -> float:
        return self._volume + (_ATTACK if volume > self._volume else _RELEASE) * (volume - self._volume)

    def reset(self) -> None:
        """Reset everything for a new call."""
        self.state = VADState.QUIET
        self._volume = 0.0
        self._voice_secs = 0.0
        self._paused_secs = 0.0
        self._quiet_secs = 0.0
        self._began = 0.0
        self._last_voice = 0.0

    def update(self, confidence: float, volume: float, now: float) -> VADEvent | None:
        """Process the next window, which ended at `now`."""
        self._volume = self._smoothed(volume)
        if confidence >= self.params.confidence and self._volume >= self.params.min_volume:
            return self._voice(now)
        return None if self.state is VADState.QUIET else self._no_voice(now)

    def _voice(self, now: float) -> VADEvent | None:
        if self.state is VADState.QUIET:
            self.state = VADState.STARTING
            self._voice_secs = self._paused_secs = 0.0
            # If packets come in a burst, this window may seem to begin before the last speech ended.
            self._began = max(now - self._window_secs, self._last_voice)
        self._last_voice = now
        self._quiet_secs = 0.0
        if self.state is not VADState.STARTING:
            self.state = VADState.SPEAKING
            return None
        # Voice is counted in windows, not by the clock: a gap in the stream is not speech.
        self._voice_secs += self._window_secs
        began_secs_ago = max(now - self._began, self._voice_secs + self._paused_secs)
        if self._voice_secs + _ROUNDING_S < self.params.start_secs * _VOICED_SHARE:
            return None
        if began_secs_ago + _ROUNDING_S < self.params.start_secs:
            return None
        self.state = VADState.SPEAKING
        return VADEvent(VADKind.STARTED, self._began)

    def _no_voice(self, now: float) -> VADEvent | None:
        if self.state is VADState.STARTING and now - self._last_voice <= _CLOSURE_SECS + _ROUNDING_S:
            self._paused_secs += self._window_secs
            return None
        if self.state is VADState.STARTING:
            self.state = VADState.QUIET
            return None
        self.state = VADState.STOPPING
        # By windows or by the clock, whichever is more: packets come a little early or late, so by the clock
        # alone a window that is full 1 ms early would cost another one; by windows alone a gap in the stream
        # would not count.
        self._quiet_secs += self._window_secs
        if max(self._quiet_secs, now - self._last_voice) + _ROUNDING_S < self.params.stop_secs:
            return None
        self.state = VADState.QUIET
        return VADEvent(VADKind.STOPPED, self._last_voice)
