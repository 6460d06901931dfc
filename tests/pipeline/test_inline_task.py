"""Work done in the stack of the code that calls `kick` behaves as in its own task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from runner.eventloop.inline_task import EagerWork

STAMP: ContextVar[str] = ContextVar("STAMP", default="none")

Piece = Callable[[], Coroutine[Any, Any, None]]


class Worker:
    """Does the pieces that it is given, in their order."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.work = EagerWork(self._round)

    async def _round(self) -> None:
        while self.pieces:
            await self.pieces.pop(0)()

    async def begin(self) -> asyncio.Task[None]:
        tasks: list[asyncio.Task[None]] = []

        def start(work: Coroutine[Any, Any, None], *, context: Any) -> asyncio.Task[None]:
            tasks.append(asyncio.get_running_loop().create_task(work, context=context))
            return tasks[0]

        self.work.start(start)
        await asyncio.sleep(0)
        return tasks[0]

    def do(self, *pieces: Piece) -> None:
        self.pieces += pieces
        self.work.kick()


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_does_not_wait_is_done_before_kick_returns() -> None:
    worker, done = Worker(), []
    task = await worker.begin()

    async def piece() -> None:
        done.append(asyncio.current_task())

    me = asyncio.current_task()
    worker.do(piece, piece)
    assert done == [task, task]
    assert asyncio.current_task() is me
    asyncio.get_running_loop().call_soon(partial(worker.do, piece))
    await asyncio.sleep(0)
    assert done == [task] * 3
    await stop(task)


async def test_what_waits_is_finished_in_the_task_and_the_order_is_kept() -> None:
    worker, done = Worker(), []
    task = await worker.begin()
    gate = asyncio.Event()

    async def slow() -> None:
        await asyncio.sleep(0)
        await gate.wait()
        done.append("slow")

    async def quick() -> None:
        done.append("quick")

    worker.do(slow)
    worker.do(quick)
    await asyncio.sleep(0.01)
    assert done == []
    gate.set()
    await asyncio.sleep(0.01)
    worker.do(quick)
    assert done == ["slow", "quick", "quick"]
    await stop(task)


async def test_timeouts_and_task_groups_work_from_the_first_line_on() -> None:
    worker, done = Worker(), []
    task = await worker.begin()

    async def piece() -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(10)
        except TimeoutError:
            done.append("timeout")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        done.append("group")

    worker.do(piece)
    await asyncio.sleep(0.05)
    assert done == ["timeout", "group"]
    assert not task.done()
    await stop(task)


async def test_context_variables_stay_from_piece_to_piece_and_tokens_can_be_given_back() -> None:
    worker, seen = Worker(), []
    task = await worker.begin()

    async def keep() -> None:
        STAMP.set("kept")

    async def borrow() -> None:
        seen.append(STAMP.get())
        token = STAMP.set("borrowed")
        await asyncio.sleep(0)
        STAMP.reset(token)
        seen.append(STAMP.get())

    worker.do(keep, borrow)
    await asyncio.sleep(0.01)
    worker.do(borrow)
    await asyncio.sleep(0.01)
    assert seen == ["kept"] * 4
    assert STAMP.get() == "none"
    await stop(task)


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_cancelling_the_task_cancels_what_the_work_awaits_however_soon(turns: int) -> None:
    worker, done = Worker(), []
    task = await worker.begin()
    inner = asyncio.ensure_future(asyncio.sleep(10))

    async def piece() -> None:
        try:
            await inner
        finally:
            done.append(inner.cancelled())

    worker.do(piece)
    for _ in range(turns):
        await asyncio.sleep(0)
    await stop(task)
    assert done == [True]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_failure_is_the_tasks_and_not_of_who_kicked(waits: bool) -> None:
    worker = Worker()
    task = await worker.begin()

    async def piece() -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError("broken")

    worker.do(piece)
    with pytest.raises(ValueError, match="broken"):
        await task
    worker.do(piece)


async def test_work_that_kicks_itself_does_not_begin_twice() -> None:
    worker, done = Worker(), []
    task = await worker.begin()

    async def outer() -> None:
        worker.do(inner)
        done.append("outer")

    async def inner() -> None:
        done.append("inner")

    worker.do(outer)
    assert done == ["outer", "inner"]
    await stop(task)


async def test_what_needs_no_task_is_done_in_the_kick_and_a_round_does_the_rest() -> None:
    left, done = [3], []

    def at_once() -> bool:
        done.append("at once")
        left[0] -= 1
        return left[0] > 0

    async def make_round() -> None:
        done.append("round")

    work = EagerWork(make_round, at_once)
    task = await _started(work)
    for _ in range(3):
        work.kick()
    assert done == ["round", "at once", "at once", "at once", "round"]
    await stop(task)


async def test_a_failure_of_what_needs_no_task_is_the_tasks_and_not_who_kicked() -> None:
    def at_once() -> bool:
        raise ValueError("in the kick")

    async def make_round() -> None:
        return

    work = EagerWork(make_round, at_once)
    task = await _started(work)
    work.kick()
    work.kick()
    with pytest.raises(ValueError, match="in the kick"):
        await task


async def _started(eager: EagerWork) -> asyncio.Task[None]:
    tasks: list[asyncio.Task[None]] = []

    def start(work: Coroutine[Any, Any, None], *, context: Any) -> asyncio.Task[None]:
        tasks.append(asyncio.get_running_loop().create_task(work, context=context))
        return tasks[0]

    eager.start(start)
    await asyncio.sleep(0)
    return tasks[0]
