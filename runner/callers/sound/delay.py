"""Hands things on when their time has come."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class DelayLine(Generic[T]):
    """Delivers each item at its time, one after the other.

    Args:
        deliver: takes an item.
        in_order: whether an item waits for those that were put in before it, as on a TCP connection.
    """

    def __init__(self, deliver: Callable[[T], Awaitable[None]], *, in_order: bool = True) -> None:
        self._deliver = deliver
        self._in_order = in_order
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0
        self._latest = float("-inf")
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, item: T, due: float = float("-inf")) -> None:
        """Deliver at `due` (s on the loop's clock); without it as soon as possible."""
        if self._in_order:
            due = self._latest = max(due, self._latest)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, item))
        self._wake.set()
        self._empty.clear()

    async def drained(self) -> None:
        """Wait until all has been delivered."""
        await self._empty.wait()

    async def run(self) -> None:
        """Deliver for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            wait_s = self._heap[0][0] - loop.time() if self._heap else None
            if wait_s is None or wait_s > 0:
                await self._sleep(wait_s)
                continue
            await self._deliver(heapq.heappop(self._heap)[2])
            if not self._heap:
                self._empty.set()

    async def _sleep(self, wait_s: float | None) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return
