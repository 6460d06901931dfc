"""The asyncio tasks of one run: their names, failures and end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any

from runner.botcode.location import describe
from runner.frames import ErrorFrame

logger = logging.getLogger(__name__)

CLEANUP_TIMEOUT_S = 1.0
"""Time (s) after which a processor's cleanup, or a task, is abandoned."""


class Tasks:
    """Tasks that end with a run.

    Args:
        session_id: the session's id; part of the tasks' names.
        failed: called with an `ErrorFrame` for each failure.
    """

    def __init__(self, session_id: str, failed: Callable[[ErrorFrame], Awaitable[None]]) -> None:
        self._session_id = session_id
        self._failed = failed
        self._running: set[asyncio.Task[None]] = set()

    def create(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task in `context`, or in a copy of the current one."""
        # The name ends in the session id: a guard in another thread reads it (guard.py).
        named = f"{name} {self._session_id}".rstrip()
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._guarded(work, name), name=named, context=context)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # A task that is cancelled before it starts never awaits its coroutine, and Python warns about that.
        task.add_done_callback(lambda _: work.close())
        return task

    async def end(self) -> None:
        """Cancel all tasks, and wait for them (at most `CLEANUP_TIMEOUT_S`)."""
        for task in tuple(self._running):
            task.cancel()
        await finish_all(self._running)

    async def _guarded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except Exception as error:  # the boundary to processors' tasks
            message = f"{name} failed: {describe(error)}"
            await self._failed(ErrorFrame(error=message, processor=name, exception=error))


async def finish_all(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Wait for tasks for up to `CLEANUP_TIMEOUT_S`; log and abandon those that take longer."""
    tasks = list(tasks)
    if not tasks:
        return
    done, pending = await asyncio.wait(tasks, timeout=CLEANUP_TIMEOUT_S)
    for task in pending:
        task.cancel()
        logger.warning("cleanup: %r did not end within %.0f s and was abandoned", task, CLEANUP_TIMEOUT_S)
    for task in done:
        if not task.cancelled() and task.exception() is not None:
            logger.warning("cleanup: a processor failed", exc_info=task.exception())
