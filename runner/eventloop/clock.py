"""Time is injected: whatever needs it is given a `Clock`, or `now` as an argument.

In a running call the clock is the event loop's `time()`; in tests a virtual loop's, which jumps to
its next timer (`runner.testing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runner.eventloop.batched_reads import Due, Rounds, rounds_of

Clock = Callable[[], float]
"""Seconds that only go forward."""


class Alarm:
    """Rings at the earliest requested time, or earlier; the callback checks the time and asks again.

    Where many calls are on the loop it rings in their rounds, up to `rounds.EVERY_S` late.

    Args:
        ring: is called in the loop.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._rounds: Rounds | None = None
        self._due: Due | None = None

    def ring_in(self, wait_s: float) -> None:
        """Ring in so many seconds, or before."""
        if self._rounds is None:
            self._rounds = rounds_of(asyncio.get_running_loop())
        at = self._rounds.time() + wait_s
        if self._due is not None:
            if self._due.at <= at:
                return  # one that rings too early costs a look: less than to set a new one for each chunk
            self._due.cancel()
        self._due = self._rounds.call_at(at, self._now)

    def _now(self) -> None:
        self._due = None
        self._ring()
