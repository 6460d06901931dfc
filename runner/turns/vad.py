"""From the model's confidence, window by window, to "speech began" and "speech ended".

QUIET ── voice ──> STARTING ── start_secs of voice ──> SPEAKING
  ^                   │ quiet                           │  ^
  ├───────────────────┘                           quiet │  │ voice
  └─────────────── stop_secs without voice ─────── STOPPING
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Volume rises to a voice within a window or two, even out of digital silence, and falls off slowly,
# so that it does not drop below its threshold between syllables.
_ATTACK = 0.7
_RELEASE = 0.2

# The closure of a "t" or a "k" is up to 100 ms of true silence in the middle of a word. It does not begin
# the count of `start_secs` again, or "what time is it" is noticed 0.2 s later than "hello"; but so much of
# that time must be voice.
_CLOSURE_SECS = 0.100
_VOICED_SHARE = 0.6

# Window lengths add up in binary fractions: 7 windows of 0.032 s must count as 0.224 s.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class VADParams:
    """What counts as speech.

    A window is voice if the model is at least `confidence` sure (0 to 1) and its smoothed volume is
    at least `min_volume` (0 to 1, `audio.level.volume`). Speech begins after `start_secs`, of which
    most is voice and no pause is longer than 100 ms, and ends after `stop_secs` without any.
    """

    confidence: float = 0.7
    start_secs: float = 0.2
    stop_secs: float = 0.4
    min_volume: float = 0.6


class VADState(Enum):
    """Where a caller is between silence and speech."""

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
    """Speech began or ended `at` that time, in seconds: noticed `start_secs` or `stop_secs` later."""

    kind: VADKind
    at: float

    @property
    def started(self) -> bool:
        return self.kind is VADKind.STARTED


class VADStateMachine:
    """Turns confidences into events, which alternate: STARTED, STOPPED, STARTED, …

    `update` is called once per window of `window_secs`, with `now` the time at which the window
    ends. `at` of a start is the beginning of its first window of voice, `at` of a stop the end of its
    last one.

    Attributes:
        state: where the caller is now.
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
        """Whether the next window, of this volume, can be voice, whatever the model says."""
        return self._smoothed(volume) >= self.params.min_volume

    def _smoothed(self, volume: float) -> float:
        return self._volume + (_ATTACK if volume > self._volume else _RELEASE) * (volume - self._volume)

    def reset(self) -> None:
        """Forget everything: a new call begins."""
        self.state = VADState.QUIET
        self._volume = 0.0
        self._voice_secs = 0.0
        self._paused_secs = 0.0
        self._quiet_secs = 0.0
        self._began = 0.0
        self._last_voice = 0.0

    def update(self, confidence: float, volume: float, now: float) -> VADEvent | None:
        """Judge one more window, which ended at `now`."""
        self._volume = self._smoothed(volume)
        if confidence >= self.params.confidence and self._volume >= self.params.min_volume:
            return self._voice(now)
        return None if self.state is VADState.QUIET else self._no_voice(now)

    def _voice(self, now: float) -> VADEvent | None:
        if self.state is VADState.QUIET:
            self.state = VADState.STARTING
            self._voice_secs = self._paused_secs = 0.0
            # Packets that come in a burst may put this window before the end of the last speech.
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
        # By the windows or by the clock, whichever is more: packets come a little early or late, and a window
        # that is full a millisecond too soon would cost another one; in a gap of the stream there are none.
        self._quiet_secs += self._window_secs
        if max(self._quiet_secs, now - self._last_voice) + _ROUNDING_S < self.params.stop_secs:
            return None
        self.state = VADState.QUIET
        return VADEvent(VADKind.STOPPED, self._last_voice)
