"""Work that comes in small pieces and mostly does not wait: done at once, without a task switch.

What Python 3.12's eager tasks are for new tasks, this is for one that lives as long as the call. Its tools,
`_enter_task` and `_leave_task`, are there for this: docs.python.org/3/library/asyncio-extending.html.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Protocol


class StartTask(Protocol):
    """Starts the task."""

    def __call__(self, work: Coroutine[Any, Any, None], *, context: Context) -> asyncio.Task[None]: ...


class EagerWork:
    """Does its work in rounds, in the stack of whatever calls `kick`; what has to wait is left to a task.

    The work sees that task as the current one, and its context, from its first line on: timeouts, task
    groups and context variables are what they are in any task.

    Args:
        make_round: one round ends when nothing is left to do, and does not wait between its last look for
            more and its end: a kick while it is under way does nothing.
        at_once: does in the kick what needs no task, and never waits; a round follows unless it says that
            nothing is left to be done.
    """

    def __init__(
        self,
        make_round: Callable[[], Coroutine[Any, Any, None]],
        at_once: Callable[[], bool] | None = None,
    ) -> None:
        self._make_round = make_round
        self._at_once = at_once
        self._task: asyncio.Task[None] | None = None
        self._round: Coroutine[Any, Any, None] | None = None
        self._rest: _Rest | None = None
        self._failure: BaseException | None = None

    def start(self, start_task: StartTask) -> None:
        """Start the task, given its coroutine and its context; the first round is done there."""
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._round = self._make_round()
        self._task = start_task(self._run(), context=self._context)

    def kick(self) -> None:
        """There is something to do: do it now, or let the round that is under way find it. Never waits."""
        task = self._task
        if self._round is not None or task is None or self._failure is not None or task.done():
            return
        try:
            if self._at_once is not None and self._at_once():
                return
        except Exception as failure:  # as in a round: it is the task's
            self._fail(failure)
            return
        caller = asyncio.current_task(self._loop)
        if caller is not None:
            _leave_task(self._loop, caller)
        _enter_task(self._loop, task)
        try:
            self._begin()
        finally:
            _leave_task(self._loop, task)
            if caller is not None:
                _enter_task(self._loop, caller)

    def _begin(self) -> None:
        self._round = begun = self._make_round()
        try:
            awaits = self._context.run(begun.send, None)
        except StopIteration:
            self._round = None
            return
        except BaseException as failure:  # the task fails with it, not who kicked
            self._fail(failure)
            return
        self._rest = _Rest(begun, awaits)
        self._wake_task()

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._wake_task()

    def _wake_task(self) -> None:
        if not self._kicked.done():
            self._kicked.set_result(None)

    async def _run(self) -> None:
        assert self._round is not None
        await self._round
        while True:
            self._round = self._rest = None
            self._kicked: asyncio.Future[None] = self._loop.create_future()
            try:
                await self._kicked
            except asyncio.CancelledError as error:
                if self._rest is None:
                    raise
                self._rest.cancel(error)
            if self._failure is not None:
                raise self._failure
            assert self._rest is not None
            await self._rest


class _Rest:
    """What is left of a coroutine whose first wait has begun; to be awaited by its task."""

    def __init__(self, begun: Coroutine[Any, Any, None], awaits: asyncio.Future[Any] | None) -> None:
        self._begun = begun
        self._awaits = awaits
        self._error: BaseException | None = None

    def cancel(self, error: asyncio.CancelledError) -> None:
        """The task was cancelled before it came here: what is awaited is cancelled, as in any task."""
        if self._awaits is None or not self._awaits.cancel():
            self._error = error

    def __await__(self) -> Generator[Any, Any, None]:
        awaits, error = self._awaits, self._error
        try:
            while True:
                if error is not None:
                    awaits = self._begun.throw(error)
                try:
                    yield awaits
                except BaseException as thrown:  # it is for the coroutine to handle
                    error = thrown
                else:
                    error = None
                    awaits = self._begun.send(None)
        except StopIteration:
            return
