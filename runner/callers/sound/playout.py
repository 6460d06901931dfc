"""The listener's end of the line: what is heard when, as the provider plays it.

Sound that comes in queues behind what is still playing. The buffer never runs by itself: every call is
given `now` (seconds, on the phone's clock), and returns what has happened up to then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

LONGEST_UNDERRUN_S = 0.3
"""A silence longer than this between two sounds is a pause of the bot's; a shorter one is a hole."""

_ROUNDING_S = 1e-9
"""A loop's timer may fire so much (s) before its time."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`pcm` was heard from `at` (s) on."""

    at: float
    pcm: bytes


@dataclass(frozen=True, slots=True)
class MarkReached:
    """The mark's turn came; `cleared` if because its sound was thrown away."""

    at: float
    name: str
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Underrun:
    """Silence of `duration_s` from `at` (s) on, in the middle of an utterance."""

    at: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Cleared:
    """`dropped_s` seconds of sound were thrown away at `at` (s), unheard."""

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
    """Plays what the bot sends, on the phone's clock.

    Args:
        sample_rate: of pcm, Hz.
        started_at: when the call began (s): where the recording begins.
        longest_underrun_s: silences up to this are underruns, longer ones pauses.

    Attributes:
        underruns: holes inside utterances so far.
        dropped_s: sound thrown away by clears, s.
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
        """Sound arrived: it is heard at once, or after what still plays."""
        events = self.advance(now)
        if not pcm:
            return events
        start = max(now, self._free_at)
        if self._last_end is not None and 0 < start - self._last_end <= self._longest_underrun_s:
            # Half a sample of silence is arithmetic.
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
        """A mark arrived: it is reached when the sound before it has been heard; at once if there is none."""
        self._queue.append(_Mark(max(now, self._free_at), name))
        return self.advance(now)

    def clear(self, now: float) -> list[PlayoutEvent]:
        """Throw away what waits; all outstanding marks come back at once, as the providers do it."""
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

    # ---------------------------------------------------------------- as time goes by

    def advance(self, now: float) -> list[PlayoutEvent]:
        """What was heard and reached up to `now`, in order."""
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
        """Play what is due of it; whether all of it was."""
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
        """When the next mark is due (s), if one is outstanding: the time to call `advance`."""
        return next((item.due for item in self._queue if isinstance(item, _Mark)), None)

    @property
    def quiet_at(self) -> float:
        """When the sound that has arrived so far ends (s)."""
        return self._free_at

    def playing(self, now: float) -> bool:
        return self._free_at > now

    # ---------------------------------------------------------------- the recording

    def recording(self, until: float | None = None) -> bytes:
        """All that was heard since the call began, silence between, as pcm; padded to `until` (s)."""
        missing = 0 if until is None else self._offset(until) - len(self._recording)
        return bytes(self._recording) + bytes(max(0, missing))

    def _record(self, at: float, pcm: bytes) -> None:
        offset = self._offset(at)
        # Sounds that follow each other do so to the sample, however their times are rounded.
        if abs(offset - len(self._recording)) <= 4:
            offset = len(self._recording)
        self._recording += bytes(max(0, offset - len(self._recording)))
        self._recording += pcm

    def _offset(self, at: float) -> int:
        return 2 * round((at - self.started_at) * self.sample_rate)

    def _lasting(self, pcm: bytes) -> float:
        return len(pcm) / 2 / self.sample_rate
