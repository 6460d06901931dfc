"""One clock for all senders of a loop, rather than a timer each.

20 ms are divided into phases; the members of a phase share its timer, and an empty phase has none. So forty
calls wake the loop 200 times a second, not 2,000.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

TICK_SECS = 0.020
PHASES = 4
CATCH_UP_SECS = 0.06

OnTick = Callable[[int], None]
"""Called with the number of the tick, counted from the beginning of the loop's clock. After a stall of up to
`CATCH_UP_SECS` the late ticks follow at once (the listener's jitter buffer wants them); after a longer one
the numbers skip to now."""

_tickers: WeakKeyDictionary[asyncio.AbstractEventLoop, Ticker] = WeakKeyDictionary()


def ticker_of(loop: asyncio.AbstractEventLoop) -> Ticker:
    """The one ticker of a loop."""
    found = _tickers.get(loop)
    if found is None:
        found = _tickers[loop] = Ticker()
    return found


class _Phase:
    """The members that tick together: the n-th time at `offset + n * 20 ms`, so nothing drifts."""

    def __init__(self, offset_secs: float) -> None:
        self.members: list[OnTick] = []
        self._offset_secs = offset_secs
        self._timer: asyncio.TimerHandle | None = None
        self._tick = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._tick = int(loop.time() / TICK_SECS) + 1
        self._timer = loop.call_at(self._due, self._run, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        mine = self._timer
        late = loop.time() - self._due
        if late > CATCH_UP_SECS:
            self._tick += int(late / TICK_SECS)
        # A loop rounds its timers; the half millisecond keeps a tick from waiting for its own time again.
        while self._timer is mine and loop.time() >= self._due - 0.0005:
            tick, self._tick = self._tick, self._tick + 1
            for member in list(self.members):
                self._call(member, tick)
        if self._timer is mine:  # nobody left last, or came anew, meanwhile
            self._timer = loop.call_at(self._due, self._run, loop)

    def _call(self, member: OnTick, tick: int) -> None:
        try:
            member(tick)
        except Exception:  # the boundary between calls: one that fails must not silence the others
            logger.exception("a sender failed, and sends no more")
            if member in self.members:
                self.members.remove(member)

    @property
    def _due(self) -> float:
        return self._offset_secs + self._tick * TICK_SECS


class Ticker:
    """Its members are called every 20 ms until they leave."""

    def __init__(self) -> None:
        self._phases = [_Phase(TICK_SECS * index / PHASES) for index in range(PHASES)]

    def join(self, member: OnTick) -> None:
        phase = min(self._phases, key=lambda phase: len(phase.members))
        phase.members.append(member)
        if len(phase.members) == 1:
            phase.start(asyncio.get_running_loop())

    def leave(self, member: OnTick) -> None:
        """Also from inside a tick. Who never joined may leave."""
        for phase in self._phases:
            if member in phase.members:
                phase.members.remove(member)
                if not phase.members:
                    phase.stop()
