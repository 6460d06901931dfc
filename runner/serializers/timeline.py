"""Puts inbound sound in order and fills its gaps.

Message numbers (`chunk`) give the order and how many messages are missing. Timestamps give the length of a
gap if they are media time; Plivo's are wall-clock time, so only its numbers are used.

Messages in order are returned at once. If a number is missing, later messages wait, at most `reorder`
messages or `hold_s` seconds. Then silence fills the gap, unless it is too long.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import NamedTuple

_JUMP_MS = 60
"""A larger jump in timestamps is a gap even if no number is missing; a smaller one is jitter."""

_MEMORY = 64
"""A number further back than this (messages) starts a new count; it is not a late message."""

_MOST_MISSING = 3000
"""A number further ahead than this (messages; one minute) also starts a new count."""


class _Piece(NamedTuple):
    pcm: bytes
    number: int
    timestamp_ms: int | None


class MediaTimeline:
    """Orders one track's sound and fills its gaps.

    Counts, in `counters`: `disordered` (reordered), `doubled` and `late` (dropped), `missing` (messages),
    `silence_ms` (inserted), `long_gaps` (not filled), `restarted` (a new count of numbers).

    Attributes:
        held: messages waiting for a missing earlier one, by number.
    """

    def __init__(
        self,
        sample_rate: int,
        counters: Counter[str] | None = None,
        *,
        media_time: bool = True,
        first_number: int | None = None,
        reorder: int = 3,
        hold_s: float = 0.060,
        longest_fill_ms: int = 500,
    ) -> None:
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._sample_rate = sample_rate
        self._media_time = media_time
        self._reorder = reorder
        self._hold_s = hold_s
        self._longest_fill_ms = longest_fill_ms
        self._first_number = first_number
        self._next: int | None = None
        self._next_ms: float | None = None
        self._last_ms = 0.0
        self.held: dict[int, _Piece] = {}
        self._holding_since: float | None = None
        self._lost: deque[int] = deque(maxlen=_MEMORY)

    def place(self, pcm: bytes, number: int | None, timestamp_ms: int | None) -> list[bytes]:
        """The sound to deliver now, with silence for gaps."""
        if number is not None and number == self._next and not self.held and self._joins(timestamp_ms):
            self._next = number + 1
            self._last_ms = len(pcm) * 500 / self._sample_rate
            self._next_ms = None if timestamp_ms is None else timestamp_ms + self._last_ms
            return [pcm]
        return self._place(pcm, number, timestamp_ms)

    def _joins(self, timestamp_ms: int | None) -> bool:
        """Whether this timestamp continues the previous message without a gap."""
        if timestamp_ms is None or self._next_ms is None or not self._media_time:
            return True
        return timestamp_ms - self._next_ms <= _JUMP_MS

    def _place(self, pcm: bytes, number: int | None, timestamp_ms: int | None) -> list[bytes]:
        if number is None:
            return self._deliver(pcm, None, timestamp_ms)
        if self._next is None:
            self._next = self._first(number)
        if number == self._next:
            due = self._deliver(pcm, number, timestamp_ms)
            return due + self._after_disorder() if self.held else due
        if number < self._next:
            return self._old(_Piece(pcm, number, timestamp_ms))
        return self._hold(_Piece(pcm, number, timestamp_ms))

    def _first(self, number: int) -> int:
        """The number to start with; the first messages may be out of order, too."""
        first = self._first_number
        return number if first is None or not first < number <= first + self._reorder else first

    def release(self, now: float) -> list[bytes]:
        """All held sound, once it has waited `hold_s`. The first call after a gap starts the wait."""
        if not self.held:
            return []
        if self._holding_since is None:
            self._holding_since = now
        if now - self._holding_since < self._hold_s:
            return []
        return self.release_all()

    def release_all(self) -> list[bytes]:
        """All held sound, at once: the stream is over."""
        due: list[bytes] = []
        while self.held:
            due += self._give_up()
        return due

    def _after_disorder(self) -> list[bytes]:
        due = self._contiguous()
        if due:
            self.counters["disordered"] += 1
        return due

    def _hold(self, piece: _Piece) -> list[bytes]:
        if piece.number in self.held:
            self.counters["doubled"] += 1
            return []
        self.held[piece.number] = piece
        return self._give_up() if len(self.held) > self._reorder else []

    def _give_up(self) -> list[bytes]:
        """Stop waiting for the missing message, and continue with the next one."""
        self._holding_since = None
        return self._deliver(*self.held.pop(min(self.held))) + self._contiguous()

    def _contiguous(self) -> list[bytes]:
        """The held sound to deliver now. The next gap starts its own wait."""
        due: list[bytes] = []
        while self._next in self.held:
            due += self._deliver(*self.held.pop(self._next))
        if due or not self.held:
            self._holding_since = None
        return due

    def _old(self, piece: _Piece) -> list[bytes]:
        assert self._next is not None
        if self._next - piece.number > _MEMORY:
            self.counters["restarted"] += 1
            due = self.release_all()
            self._next, self._next_ms = piece.number, None
            return due + self._deliver(*piece)
        if piece.number in self._lost:
            self._lost.remove(piece.number)
            self.counters["late"] += 1
        else:
            self.counters["doubled"] += 1
        return []

    def _deliver(self, pcm: bytes, number: int | None, timestamp_ms: int | None) -> list[bytes]:
        duration_ms = len(pcm) * 500 / self._sample_rate
        gap_ms = self._gap_ms(number, timestamp_ms, duration_ms)
        if number is not None:
            if number != self._next:
                self._note_missing(number)
            self._next = number + 1
        self._next_ms = None if timestamp_ms is None else timestamp_ms + duration_ms
        self._last_ms = duration_ms
        return [self._silence(gap_ms), pcm] if self._fills(gap_ms) else [pcm]

    def _gap_ms(self, number: int | None, timestamp_ms: int | None, duration_ms: float) -> float:
        missing = 0 if number is None or self._next is None else number - self._next
        by_number = missing * (self._last_ms or duration_ms)
        if not self._media_time or timestamp_ms is None or self._next_ms is None:
            return by_number
        by_time = timestamp_ms - self._next_ms
        if not missing:
            return by_time if by_time > _JUMP_MS else 0
        # Timestamps that repeat or go backwards are ignored; others are exact, apart from a little jitter.
        if by_time < -duration_ms / 2 or abs(by_time - by_number) < duration_ms / 2:
            return by_number
        return by_time

    def _fills(self, gap_ms: float) -> bool:
        if gap_ms > self._longest_fill_ms:
            self.counters["long_gaps"] += 1
            return False
        return gap_ms > 0

    def _silence(self, gap_ms: float) -> bytes:
        self.counters["silence_ms"] += round(gap_ms)
        return bytes(2 * round(gap_ms * self._sample_rate / 1000))

    def _note_missing(self, number: int) -> None:
        assert self._next is not None
        if number - self._next > _MOST_MISSING:
            self.counters["restarted"] += 1
            return
        self.counters["missing"] += number - self._next
        self._lost.extend(range(max(self._next, number - _MEMORY), number))
