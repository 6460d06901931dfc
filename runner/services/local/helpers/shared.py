"""One of a kind per process, for all sessions: started before the first call, or else when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Startable(Protocol):
    """What can be shared."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


T = TypeVar("T", bound=Startable)


class Shared(Generic[T]):
    """Makes its one object at the first `get`, and again after `stop` or on another event loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The object, started. If its start fails this raises, and the next `get` tries again."""
        loop = asyncio.get_running_loop()
        if self._started is None or self._loop is not loop or _failed(self._started):
            self._loop = loop
            self._started = loop.create_task(self._start(), name="start a local service")
        return await asyncio.shield(self._started)

    async def start(self) -> None:
        """For `warmup.register`."""
        await self.get()

    async def stop(self) -> None:
        """End it; a later `get` makes another."""
        started, self._started = self._started, None
        if started is None or self._loop is not asyncio.get_running_loop():
            return
        await asyncio.wait([started])
        if not _failed(started):
            await started.result().stop()

    async def _start(self) -> T:
        made = self._make()
        await made.start()
        return made


def _failed(task: asyncio.Task[T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
