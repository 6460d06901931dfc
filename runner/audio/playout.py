"""What the listener has heard of the sound that was sent.

Positions are samples since the beginning of the call, counted as they are written to the wire. The far
end is taken to play them one after the other as they come; where it tells what it has played (a phone
provider's marks), its word corrects the estimate.
"""

from __future__ import annotations

from collections import deque

NEVER = float("-inf")
"""The time (s) of what was heard before anything plays."""

SHORTEST_HOLE_S, LONGEST_HOLE_S = 0.02, 0.3
"""Sound that comes so late (s) is missed by the listener; less is covered by the far end's jitter buffer, and
more is a pause of the bot's."""

MARK_DEADLINE_S = 1.5
"""A mark that is so late (s) will not come: the estimate goes on without it."""


class Playout:
    """Estimates the heard position; pure, with `now` (s) as an argument.

    Attributes:
        written: samples written so far.
        delay_s: how long the far end was seen to hold sound back (s), learnt from marks.
        underruns: holes in the sound: it was written after what came before it had been played.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.written = 0
        self.delay_s = 0.0
        self.underruns = 0
        self._run_position = 0
        self._run_time = self._wire_time = NEVER
        self._marks: deque[int] = deque()

    def wrote(self, samples: int, now: float) -> None:
        """So many samples left for the far end."""
        plays_until = self._run_time + (self.written - self._run_position) / self.sample_rate
        late_s = now - plays_until + self.delay_s
        if late_s >= 0:
            self.underruns += SHORTEST_HOLE_S < late_s <= LONGEST_HOLE_S
            self._run_position = self.written
            self._wire_time = now
            self._run_time = now + self.delay_s
        self.written += samples

    def time_of(self, position: int) -> float:
        """When (s) this position is heard, if nothing comes between; -inf if nothing plays."""
        return self._run_time + (position - self._run_position) / self.sample_rate

    def heard(self, now: float) -> int:
        """The position that has been heard by now."""
        if self._run_time == NEVER:
            return self.written
        played = self._run_position
        if now > self._run_time:
            # Rounded, for a time made by `time_of` must give the position back.
            played += round((now - self._run_time) * self.sample_rate)
        played = min(played, self.written)
        while self._marks and played >= self._marks[0]:
            if now < self.time_of(self._marks[0]) + MARK_DEADLINE_S:
                return self._marks[0] - 1
            self._marks.popleft()
        return played

    def mark(self) -> int:
        """A mark was sent behind the sound written so far; returns its position."""
        self._marks.append(self.written)
        return self.written

    def reached(self, position: int, now: float) -> None:
        """The far end says that it has played up to this mark."""
        while self._marks and self._marks[0] <= position:
            self._marks.popleft()
        if position < self._run_position or self._run_time == NEVER:
            return
        self._run_time += now - self.time_of(position)
        self.delay_s = max(0.0, self._run_time - self._wire_time)

    def cut(self, now: float) -> int:
        """The far end dropped what it had not played; returns the position that was heard."""
        heard = self.heard(now)
        self._marks.clear()
        self._run_position = self.written
        self._run_time = self._wire_time = NEVER
        return heard
