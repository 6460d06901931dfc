"""An event loop whose clock jumps to its next timer: a 30 s conversation is tested in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

TICK_S = 2e-9
"""Minimum step (s) of the clock per timer. asyncio fires timers up to 1 ns early; code that waits for the
rest would hang without a minimum step."""

STUCK_S = 3600.0
"""Virtual time (s) after which a test counts as hanging."""


class _JumpingSelector(selectors.DefaultSelector):
    """Advances the clock by the timeout instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("deadlock: every task is waiting and no timer is set")
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()` starts at 0 and advances only when every task is waiting."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Runs the function at once, because a thread would not follow this clock."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return super().call_at(max(when, self.time() + TICK_S), callback, *args, context=context)


def run_virtual(work: Coroutine[Any, Any, T], limit_s: float = STUCK_S) -> T:
    """Run a coroutine in virtual time; raises `TimeoutError` after `limit_s` virtual seconds."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work, limit_s))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
