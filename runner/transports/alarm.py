"""One timer that is asked again and again for later times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """Rings at the earliest time asked for, or before; whoever is woken looks, and asks again.

    Args:
        ring: is called in the loop.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def ring_in(self, wait_s: float) -> None:
        """Ring in so many seconds, or before."""
        loop = asyncio.get_running_loop()
        due = loop.time() + wait_s
        if self._timer is not None and self._due > due:
            self._timer.cancel()
            self._timer = None
        # One that rings too early costs a look: less than to set a new one for each chunk.
        if self._timer is None:
            self._timer, self._due = loop.call_at(due, self._now), due

    def _now(self) -> None:
        self._timer = None
        self._ring()
