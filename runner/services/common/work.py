"""Runs the work for one reply in its own task, which an interruption stops.

The task is cancelled while it waits for a network or a clock, but not while it pushes a frame, because that
runs other processors' code; then it ends when the push returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from runner.frames import Frame, FrameDirection
from runner.processors.base import DOWNSTREAM, FrameProcessor

Iterating = TypeVar("Iterating", bound=AsyncIterator[Any])
T = TypeVar("T")


class ReplyWork:
    """The task of one reply. Push its frames with its own `push`."""

    def __init__(self, owner: FrameProcessor) -> None:
        self._owner = owner
        self._task: asyncio.Task[None] | None = None
        self._pushing = 0
        self._stopped = False

    def start(self, work: Callable[[ReplyWork], Coroutine[Any, Any, None]], name: str) -> ReplyWork:
        """Run `work(self)` in a task that ends with the call."""
        self._task = self._owner.create_task(work(self), name)
        return self

    async def push(self, frame: Frame, direction: FrameDirection = DOWNSTREAM) -> None:
        """Push a frame; raises `CancelledError` if the work was stopped meanwhile."""
        self._pushing += 1
        try:
            await self._owner.push_frame(frame, direction)
        finally:
            self._pushing -= 1
        if self._stopped:
            raise asyncio.CancelledError

    @property
    def task(self) -> asyncio.Task[None]:
        """The task; only after `start`."""
        assert self._task is not None
        return self._task

    @property
    def running(self) -> bool:
        """Whether the task runs and was not stopped."""
        return self._task is not None and not self._task.done() and not self._stopped

    def stop(self) -> None:
        """Stop the work: at once if it waits, else after the frame that it is pushing."""
        self._stopped = True
        if self._task is not None and not self._pushing:
            self._task.cancel()


def iterating(made: Iterating, service: FrameProcessor, method: str) -> Iterating:
    """Check that a service's method returned an async generator, and return it; raises `TypeError` if not."""
    if hasattr(made, "__anext__"):
        return made
    if asyncio.iscoroutine(made):
        made.close()
    raise TypeError(
        f"{type(service).__name__}.{method} must be an async generator (async def with yield), "
        f"but returned {type(made).__name__}"
    )


async def patiently(pieces: AsyncGenerator[T, None], first_s: float | None) -> AsyncGenerator[T, None]:
    """Yield the same pieces; raises `TimeoutError` if the first takes longer than `first_s`."""
    async with contextlib.aclosing(pieces):
        try:
            async with asyncio.timeout(first_s):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TimeoutError(f"the answer did not begin within {first_s:g} s") from None
        yield piece
        async for piece in pieces:
            yield piece
