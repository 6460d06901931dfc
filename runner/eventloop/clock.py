"""Time is injected: code that needs it takes a `Clock`, or `now` as an argument.

In a running call the clock is the event loop's `time()`; in tests it is a virtual loop's, which jumps to its
next timer (`runner.testing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runner.eventloop.batched_reads import Due, Rounds, rounds_of

Clock = Callable[[], float]
"""A monotonic clock (s)."""


class Alarm:
    """A timer that fires at the earliest requested time, or earlier; the callback checks the time and rearms.

    With many calls on the loop it fires in a round, up to `batched_reads.EVERY_S` late.

    Args:
        ring: the callback, called in the loop.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._rounds: Rounds | None = None
        self._due: Due | None = None

    def ring_in(self, wait_s: float) -> None:
        """Fire within `wait_s` seconds."""
        if self._rounds is None:
            self._rounds = rounds_of(asyncio.get_running_loop())
        at = self._rounds.time() + wait_s
        if self._due is not None:
            if self._due.at <= at:
                return  # firing too early costs one check: cheaper than a new timer for each chunk
            self._due.cancel()
        self._due = self._rounds.call_at(at, self._now)

    def _now(self) -> None:
        self._due = None
        self._ring()
