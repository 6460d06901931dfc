"""Sound on its way to the listener: cut into chunks, paced, and how much of it has been heard.

Positions are samples since the beginning of the call, counted as they are written to the wire. The peer is
taken to play them one after the other as they come; where it says what it has played (a phone provider's
marks), that corrects the estimate.
"""

from __future__ import annotations

from collections import deque

NEVER = float("-inf")
"""The time (s) of what was heard before anything plays."""

SHORTEST_HOLE_S, LONGEST_HOLE_S = 0.02, 0.3
"""Sound that comes so late (s) is missed by the listener; less is covered by the peer's jitter buffer, and
more is a pause of the bot's."""

MARK_DEADLINE_S = 1.5
"""A mark that is so late (s) will not come: the estimate goes on without it."""


class Playout:
    """Estimates the heard position; pure, with `now` (s) as an argument.

    Attributes:
        written: samples written so far.
        delay_s: how long the peer holds sound back (s), learnt from marks.
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
        """This many samples were sent to the peer."""
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
        """The peer reports that it has played up to this mark."""
        while self._marks and self._marks[0] <= position:
            self._marks.popleft()
        if position < self._run_position or self._run_time == NEVER:
            return
        self._run_time += now - self.time_of(position)
        self.delay_s = max(0.0, self._run_time - self._wire_time)

    def cut(self, now: float) -> int:
        """The peer dropped what it had not played; returns the position that was heard."""
        heard = self.heard(now)
        self._marks.clear()
        self._run_position = self.written
        self._run_time = self._wire_time = NEVER
        return heard


class Pacer:
    """Lets sound run ahead of its playout by `lead_s` (s), and no further.

    The first chunk leaves at once; then chunks leave until the peer has `lead_s` of sound waiting,
    so that a stall of the sender as long as the lead is not heard. The timeline is absolute: lateness
    of one chunk does not add to the next. A peer that has run dry begins a new timeline.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self._played_until = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long (s) the next chunk has to wait; 0 or less: it may leave."""
        return self._played_until - self.lead_s - now

    def sent(self, duration_s: float, now: float) -> None:
        """A chunk of this length has left."""
        self._played_until = max(self._played_until, now) + duration_s

    def reset(self) -> None:
        """The peer was asked to drop what waits there."""
        self._played_until = float("-inf")


class Chunker:
    """Collects sound until whole chunks of `chunk_bytes` are there. It holds less than one chunk."""

    def __init__(self, chunk_bytes: int) -> None:
        if chunk_bytes <= 0:
            raise ValueError(f"a chunk of {chunk_bytes} bytes cannot be cut")
        self.chunk_bytes = chunk_bytes
        self._rest = b""

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their chunk."""
        return len(self._rest)

    def push(self, pcm: bytes) -> list[bytes]:
        """The chunks that are complete with `pcm`."""
        size = self.chunk_bytes
        if not self._rest and len(pcm) == size:
            return [pcm]
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        return [pcm[start : start + size] for start in range(0, whole, size)]

    def flush(self, pad: bool = True) -> bytes:
        """What is left: filled up with silence to a whole chunk if `pad`; b"" if nothing is left."""
        rest, self._rest = self._rest, b""
        return rest.ljust(self.chunk_bytes, b"\0") if pad and rest else rest

    def clear(self) -> None:
        """Forget what is left."""
        self._rest = b""
