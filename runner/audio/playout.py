"""Outbound audio: cutting it into chunks, pacing it, and estimating how much has been heard.

Positions are samples since the start of the call, counted as they are written to the wire. The estimate
assumes that the peer plays them as they arrive; a peer that reports what it has played (a phone provider's
marks) corrects it.
"""

from __future__ import annotations

from collections import deque

NEVER = float("-inf")
"""The time (s) of a position while nothing has been played."""

SHORTEST_HOLE_S, LONGEST_HOLE_S = 0.02, 0.3
"""Audio this late (s) counts as an underrun. The peer's jitter buffer hides a shorter hole; a longer one is a
pause of the bot."""

MARK_DEADLINE_S = 1.5
"""Time (s) after which an outstanding mark is taken as lost and the estimate goes on without it."""


class Playout:
    """Estimates the heard position; pure, with `now` (s) as an argument.

    Attributes:
        written: samples written so far.
        delay_s: how long the peer buffers audio (s), measured from marks.
        underruns: how often audio was written too late, after everything before it had been played.
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
        """Record that this many samples were sent to the peer."""
        plays_until = self._run_time + (self.written - self._run_position) / self.sample_rate
        late_s = now - plays_until + self.delay_s
        if late_s >= 0:
            self.underruns += SHORTEST_HOLE_S < late_s <= LONGEST_HOLE_S
            self._run_position = self.written
            self._wire_time = now
            self._run_time = now + self.delay_s
        self.written += samples

    def time_of(self, position: int) -> float:
        """When (s) this position is heard if nothing intervenes; -inf if nothing plays."""
        return self._run_time + (position - self._run_position) / self.sample_rate

    def heard(self, now: float) -> int:
        """The position heard by `now`."""
        if self._run_time == NEVER:
            return self.written
        played = self._run_position
        if now > self._run_time:
            # Rounded, so that `heard(time_of(position))` returns the position.
            played += round((now - self._run_time) * self.sample_rate)
        played = min(played, self.written)
        while self._marks and played >= self._marks[0]:
            if now < self.time_of(self._marks[0]) + MARK_DEADLINE_S:
                return self._marks[0] - 1
            self._marks.popleft()
        return played

    def mark(self) -> int:
        """Record that a mark was sent behind the audio written so far; return its position."""
        self._marks.append(self.written)
        return self.written

    def reached(self, position: int, now: float) -> None:
        """Record that the peer has played up to this mark."""
        while self._marks and self._marks[0] <= position:
            self._marks.popleft()
        if position < self._run_position or self._run_time == NEVER:
            return
        self._run_time += now - self.time_of(position)
        self.delay_s = max(0.0, self._run_time - self._wire_time)

    def cut(self, now: float) -> int:
        """Record that the peer dropped what it had not played; return the position heard."""
        heard = self.heard(now)
        self._marks.clear()
        self._run_position = self.written
        self._run_time = self._wire_time = NEVER
        return heard


class Pacer:
    """Paces audio so that it runs ahead of its playout by at most `lead_s` (s).

    Chunks leave at once until the peer has `lead_s` of audio queued, so a stall of the sender as long as the
    lead is inaudible. The timeline is absolute: the lateness of one chunk does not add to the next. When the
    peer's queue has run empty, a new timeline starts.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self._played_until = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long (s) the next chunk has to wait; 0 or less: send it now."""
        return self._played_until - self.lead_s - now

    def sent(self, duration_s: float, now: float) -> None:
        """Record that a chunk of this length was sent."""
        self._played_until = max(self._played_until, now) + duration_s

    def reset(self) -> None:
        """Record that the peer was asked to drop its queue."""
        self._played_until = float("-inf")


class Chunker:
    """Cuts audio into chunks of `chunk_bytes`. It holds less than one chunk."""

    def __init__(self, chunk_bytes: int) -> None:
        if chunk_bytes <= 0:
            raise ValueError(f"a chunk of {chunk_bytes} bytes cannot be cut")
        self.chunk_bytes = chunk_bytes
        self._rest = b""

    @property
    def pending(self) -> int:
        """Bytes held until their chunk is complete."""
        return len(self._rest)

    def push(self, pcm: bytes) -> list[bytes]:
        """Add `pcm`; return the chunks that are now complete."""
        size = self.chunk_bytes
        if not self._rest and len(pcm) == size:
            return [pcm]
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        return [pcm[start : start + size] for start in range(0, whole, size)]

    def flush(self, pad: bool = True) -> bytes:
        """Return the rest, padded with silence to a whole chunk if `pad`; b"" if there is none."""
        rest, self._rest = self._rest, b""
        return rest.ljust(self.chunk_bytes, b"\0") if pad and rest else rest

    def clear(self) -> None:
        """Drop the rest."""
        self._rest = b""
