"""Runs small pieces of work that mostly do not wait at once, without a task switch.

This does for a task that lives as long as the call what Python 3.12's eager tasks do for new tasks. It uses
`_enter_task` and `_leave_task`, which exist for this: docs.python.org/3/library/asyncio-extending.html.
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
    """Does its work in rounds, on the stack of the caller of `kick`; a round that has to wait ends in a task.

    The work runs with that task as the current task and in its context, so timeouts, task groups and context
    variables work as in any task.

    Args:
        make_round: makes the coroutine of one round. It ends when nothing is left to do, and must not wait
            between its last check for work and its end: a kick during a round does nothing.
        at_once: does in `kick` what needs no task, and never waits; a round follows unless it returns True,
            nothing left to do.
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
        """Start the task, which runs the first round."""
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._round = self._make_round()
        self._task = start_task(self._run(), context=self._context)

    def kick(self) -> None:
        """Do the work there is now, or leave it to the round in progress. Never waits."""
        task = self._task
        if self._round is not None or task is None or self._failure is not None or task.done():
            return
        try:
            if self._at_once is not None and self._at_once():
                return
        except Exception as failure:  # the task fails with it, as in a round
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
        except BaseException as failure:  # the task fails with it, not the caller of kick
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
    """The rest of a coroutine that has reached its first wait; its task awaits it."""

    def __init__(self, begun: Coroutine[Any, Any, None], awaits: asyncio.Future[Any] | None) -> None:
        self._begun = begun
        self._awaits = awaits
        self._error: BaseException | None = None

    def cancel(self, error: asyncio.CancelledError) -> None:
        """The task was cancelled before it awaited this: cancel what is awaited, as any task does."""
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
                except BaseException as thrown:  # the coroutine handles it
                    error = thrown
                else:
                    error = None
                    awaits = self._begun.send(None)
        except StopIteration:
            return
