"""The events of a pipeline that a bot gets, under the names that bots for Pipecat use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eventually import eventually

from runner.errors import UsageError
from runner.frames import EndFrame, StartFrame, TextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.pipeline.task import EVENTS
from runner.processors import FrameProcessor
from runner.testing import run_virtual


class Fails(FrameProcessor):
    async def process_frame(self, frame: Any, direction: Any) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, TextFrame):
            raise ValueError(frame.text)


def events_of(*frames: Any, **more: Any) -> list[tuple[Any, ...]]:
    received: list[tuple[Any, ...]] = []

    async def run() -> None:
        task = PipelineTask(Pipeline([Fails()]), **more)
        for name in EVENTS:

            async def tell(task: PipelineTask, *what: Any, name: str = name) -> None:
                received.append((name, *what))

            task.event_handler(name)(tell)
        await task.queue_frames(frames)
        await task.run()

    run_virtual(run())
    return received


def test_the_start_a_failure_and_the_end_are_reported_in_order() -> None:
    started, failed, finished = events_of(TextFrame("oh"), EndFrame(reason="said goodbye"))
    assert (started[0], type(started[1])) == ("on_pipeline_started", StartFrame)
    assert (failed[0], "ValueError: oh" in failed[1].error) == ("on_pipeline_error", True)
    assert (finished[0], finished[1].reason) == ("on_pipeline_finished", "said goodbye")


def test_a_silence_that_ends_the_call_is_reported() -> None:
    assert [name for name, *_ in events_of(idle_timeout_secs=5)] == [
        "on_pipeline_started",
        "on_idle_timeout",
        "on_pipeline_finished",
    ]


class EndsSlowly(FrameProcessor):
    """Its cleanup takes 0.5 s."""

    ending = cleaned = False

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        self.ending = True
        await asyncio.sleep(0.5)
        await super().cleanup()
        self.cleaned = True


async def test_a_run_that_is_cancelled_while_it_ends_leaves_no_task_behind() -> None:
    """As when botrun stops while a call is ending."""
    slow = EndsSlowly()
    task = PipelineTask(Pipeline([slow]))
    await task.queue_frame(EndFrame())
    before = asyncio.all_tasks()
    run = asyncio.create_task(task.run())
    await eventually(lambda: slow.ending)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert slow.cleaned
    assert asyncio.all_tasks() == before


def test_an_event_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'on_pipeline_started'"):
        PipelineTask(Pipeline([])).event_handler("on_pipeline_start")
