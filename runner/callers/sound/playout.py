"""The provider's playout: what the caller hears, and when.

Audio is queued behind what is still playing. There is no internal clock: each call takes `now` (s on the
phone's clock) and returns what has happened up to then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LONGEST_UNDERRUN_S = 0.3
"""A longer silence between two sounds is a pause of the bot; a shorter one is an underrun."""

_ROUNDING_S = 1e-9
"""Maximum time (s) by which a loop's timer may fire early."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`pcm` was heard from `at` (s) on."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class MarkReached:
    """A mark was reached; `cleared` if its audio was dropped."""

    at: float
    name: str
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Underrun:
    """Silence of `duration_s` from `at` (s) on, within an utterance."""

    at: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """`dropped_s` seconds of audio were dropped at `at` (s)."""

    at: float
    dropped_s: float


PlayoutEvent = Heard | MarkReached | Underrun | Cleared


@dataclass(slots=True)
class _Sound:
    start: float
    pcm: bytes


@dataclass(slots=True)
class _Mark:
    due: float
    name: str


class Playout:
    """Plays the bot's audio, on the phone's clock.

    Args:
        sample_rate: sample rate of the pcm, Hz.
        started_at: start of the call and of the recording (s).
        longest_underrun_s: silences up to this are underruns, longer ones pauses.

    Attributes:
        underruns: the underruns so far.
        dropped_s: audio dropped by clears, s.
    """

    def __init__(
        self, sample_rate: int, started_at: float, *, longest_underrun_s: float = LONGEST_UNDERRUN_S
    ) -> None:
        self.sample_rate = sample_rate
        self.started_at = started_at
        self.underruns: list[Underrun] = []
        self.dropped_s = 0.0
        self._longest_underrun_s = longest_underrun_s
        self._queue: deque[_Sound | _Mark] = deque()
        self._free_at = started_at
        self._last_end: float | None = None
        self._recording = bytearray()

    # ---------------------------------------------------------------- from the wire

    def add(self, pcm: bytes, now: float) -> list[PlayoutEvent]:
        """Add audio: it plays at once, or after what is still playing."""
        events = self.advance(now)
        if not pcm:
            return events
        start = max(now, self._free_at)
        if self._last_end is not None and 0 < start - self._last_end <= self._longest_underrun_s:
            # Up to half a sample of silence is a rounding error.
            if start - self._last_end > 0.5 / self.sample_rate:
                underrun = Underrun(self._last_end, start - self._last_end)
                self.underruns.append(underrun)
                events.append(underrun)
            else:
                start = self._last_end
        self._queue.append(_Sound(start, pcm))
        self._free_at = self._last_end = start + self._lasting(pcm)
        return events

    def mark(self, name: str, now: float) -> list[PlayoutEvent]:
        """Add a mark: it is reached once the audio before it has been played, at once if there is none."""
        self._queue.append(_Mark(max(now, self._free_at), name))
        return self.advance(now)

    def clear(self, now: float) -> list[PlayoutEvent]:
        """Drop the queued audio; all outstanding marks are returned at once, as providers do."""
        events = self.advance(now)
        dropped_s = max(0.0, self._free_at - now)
        marks = [item.name for item in self._queue if isinstance(item, _Mark)]
        self._queue.clear()
        self._free_at = now
        self._last_end = None
        self.dropped_s += dropped_s
        return [
            *events,
            Cleared(now, dropped_s),
            *(MarkReached(now, name, cleared=True) for name in marks),
        ]

    # ---------------------------------------------------------------- time

    def advance(self, now: float) -> list[PlayoutEvent]:
        """What was played and reached up to `now`, in order."""
        events: list[PlayoutEvent] = []
        while self._queue:
            item = self._queue[0]
            if isinstance(item, _Mark):
                if item.due > now + _ROUNDING_S:
                    break
                events.append(MarkReached(item.due, item.name))
                self._queue.popleft()
            elif not self._play(item, now, events):
                break
        return events

    def _play(self, sound: _Sound, now: float, events: list[PlayoutEvent]) -> bool:
        """Play the part of a sound that is due; return whether all of it has been played."""
        due = len(sound.pcm)
        if sound.start + self._lasting(sound.pcm) > now + _ROUNDING_S:
            due = min(due, 2 * int((now + _ROUNDING_S - sound.start) * self.sample_rate))
        if due > 0:
            pcm = sound.pcm[:due]
            self._record(sound.start, pcm)
            events.append(Heard(sound.start, pcm))
            sound.start += self._lasting(pcm)
            sound.pcm = sound.pcm[due:]
        if sound.pcm:
            return False
        self._queue.popleft()
        return True

    @property
    def next_event_at(self) -> float | None:
        """When the next mark is due (s), that is, when to call `advance`; None if there is none."""
        return next((item.due for item in self._queue if isinstance(item, _Mark)), None)

    @property
    def quiet_at(self) -> float:
        """When the audio that has arrived so far ends (s)."""
        return self._free_at

    def playing(self, now: float) -> bool:
        return self._free_at > now

    # ---------------------------------------------------------------- the recording

    def recording(self, until: float | None = None) -> bytes:
        """All audio played since the start of the call, including silence, as pcm; padded to `until` (s)."""
        missing = 0 if until is None else self._offset(until) - len(self._recording)
        return bytes(self._recording) + bytes(max(0, missing))

    def _record(self, at: float, pcm: bytes) -> None:
        offset = self._offset(at)
        # Adjacent sounds must join without a gap, although their times are rounded.
        if abs(offset - len(self._recording)) <= 4:
            offset = len(self._recording)
        self._recording += bytes(max(0, offset - len(self._recording)))
        self._recording += pcm

    def _offset(self, at: float) -> int:
        return 2 * round((at - self.started_at) * self.sample_rate)

    def _lasting(self, pcm: bytes) -> float:
        return len(pcm) / 2 / self.sample_rate
