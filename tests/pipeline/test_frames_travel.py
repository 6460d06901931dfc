"""The rules by which frames travel: direct calls, mailboxes, system frames, interruptions."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from runner.errors import StartError, UsageError
from runner.frames import (
    EndFrame,
    EndTaskFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMTextFrame,
    StartFrame,
    TextFrame,
    TranscriptionFrame,
)
from runner.pipeline import ParallelPipeline, Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.testing import Recorder, run_virtual


class Upper(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame):
            frame = replace(frame, text=frame.text.upper())
        await self.push_frame(frame, direction)


class Sleepy(FrameProcessor):
    """Sleeps on every text, and notes when its own code overlaps."""

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.inside = 0
        self.most_inside = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame):
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            await asyncio.sleep(self.seconds)
            self.inside -= 1
        await self.push_frame(frame, direction)


async def run(task: PipelineTask, script: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(PipelineRunner().run(task))
        await asyncio.sleep(0.01)
        await script()


def texts(recorder: Recorder) -> list[str]:
    return [seen.frame.text for seen in recorder.seen if isinstance(seen.frame, TextFrame)]


def test_frames_pass_through_in_order_and_the_end_comes_last() -> None:
    recorder = Recorder()
    task = PipelineTask(Pipeline([Upper(), Pipeline([Upper(), recorder])]))

    async def script() -> None:
        await task.queue_frames([TextFrame("a"), TextFrame("b"), EndFrame()])

    run_virtual(run(task, script))
    assert recorder.names() == ["StartFrame", "TextFrame", "TextFrame", "EndFrame", "CancelFrame"]
    assert texts(recorder) == ["A", "B"]
    assert task.end_reason == "ended"


def test_a_busy_processor_is_never_entered_twice_and_keeps_the_order() -> None:
    sleepy, recorder = Sleepy(), Recorder()
    task = PipelineTask(Pipeline([sleepy, recorder]))

    async def push(word: str) -> None:
        await sleepy.receive(TextFrame(word), FrameDirection.DOWNSTREAM)

    async def script() -> None:
        # Three tasks push at the same moment: two find the processor busy.
        await asyncio.gather(push("one"), push("two"), push("three"))
        await task.stop_when_done()

    run_virtual(run(task, script))
    assert sleepy.most_inside == 1
    assert texts(recorder) == ["one", "two", "three"]


def test_a_system_frame_does_not_wait_for_a_busy_processor() -> None:
    sleepy, recorder = Sleepy(5.0), Recorder()
    task = PipelineTask(Pipeline([sleepy, recorder]))

    async def script() -> None:
        await task.queue_frame(TextFrame("slow"))
        await asyncio.sleep(0.1)
        task.interrupt()
        await asyncio.sleep(0.1)
        assert recorder.of(InterruptionFrame)
        await task.cancel()

    run_virtual(run(task, script))


def test_an_interruption_empties_mailboxes_of_data_but_not_of_what_the_caller_did() -> None:
    sleepy, recorder = Sleepy(1.0), Recorder()
    task = PipelineTask(Pipeline([sleepy, recorder]))

    async def script() -> None:
        first = asyncio.create_task(sleepy.receive(TextFrame("first"), FrameDirection.DOWNSTREAM))
        await asyncio.sleep(0.1)
        for frame in (TextFrame("dropped"), TranscriptionFrame("kept"), EndTaskFrame(), EndFrame()):
            await sleepy.receive(frame, FrameDirection.DOWNSTREAM)
        task.interrupt()
        await first

    run_virtual(run(task, script))
    assert texts(recorder) == ["first"]
    assert recorder.of(TranscriptionFrame)
    assert recorder.of(EndFrame)


def test_a_failing_processor_is_named_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, TextFrame) and frame.text == "boom":
                raise ValueError("no good")
            await self.push_frame(frame, direction)

    before, recorder = Recorder(), Recorder()
    task = PipelineTask(Pipeline([before, Broken(), recorder]))

    async def script() -> None:
        await task.queue_frames([TextFrame("boom"), TextFrame("fine"), EndFrame()])

    run_virtual(run(task, script))
    assert texts(recorder) == ["fine"]
    (error,) = (seen.frame for seen in before.of(ErrorFrame))
    assert isinstance(error, ErrorFrame)
    assert "Broken failed on TextFrame: ValueError: no good" in error.error
    assert "no good" in caplog.text


def test_a_fatal_error_ends_the_run() -> None:
    class Dying(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await self.push_frame(frame, direction)
            if isinstance(frame, StartFrame):
                await self.push_error("nothing works", fatal=True)

    task = PipelineTask(Pipeline([Dying()]))
    with pytest.raises(StartError, match="nothing works"):
        run_virtual(task.run())
    assert task.end_reason == "nothing works"


def test_a_processor_that_fails_on_the_start_frame_ends_the_run_with_one_sentence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, StartFrame):
                raise ValueError("no such device")
            await self.push_frame(frame, direction)

    task = PipelineTask(Pipeline([Refusing(), FrameProcessor(name="second")]))
    with pytest.raises(StartError, match=r"^Refusing could not start: ValueError: no such device \(.*\)$"):
        run_virtual(task.run())
    assert task.end_reason.startswith("Refusing could not start")
    assert caplog.records == []  # the session reports what `run` raises


def test_processors_that_never_finish_their_setup_are_named() -> None:
    class Hanging(FrameProcessor):
        async def setup(self, setup: Any) -> None:
            await asyncio.Event().wait()

    with pytest.raises(StartError, match="Hanging did not start within 20 s"):
        run_virtual(PipelineTask(Pipeline([FrameProcessor(), Hanging()])).run())


def test_cleanup_is_called_once_for_each_processor_even_if_setup_fails() -> None:
    cleaned: list[str] = []

    class Careful(FrameProcessor):
        async def cleanup(self) -> None:
            cleaned.append(self.name)

    class Failing(FrameProcessor):
        async def setup(self, setup: Any) -> None:
            raise ConnectionError("cannot connect")

    task = PipelineTask(Pipeline([Careful(name="one"), Failing(), Careful(name="two")]))
    with pytest.raises(StartError, match="Failing could not start: ConnectionError: cannot connect"):
        run_virtual(task.run())
    assert cleaned == ["one", "two"]


def test_a_processor_that_ignores_cancellation_does_not_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, StartFrame):
                self.create_task(self.never(), "never")
            await self.push_frame(frame, direction)

        async def never(self) -> None:
            deadline = asyncio.get_running_loop().time() + 60
            while asyncio.get_running_loop().time() < deadline:
                try:
                    await asyncio.sleep(10)
                except asyncio.CancelledError:
                    continue

    async def script() -> float:
        task = PipelineTask(Pipeline([Stubborn()]))
        asyncio.get_running_loop().call_later(1.0, task.request_cancel)
        await task.run()
        ended = asyncio.get_running_loop().time()
        await asyncio.sleep(70)
        return ended

    assert run_virtual(script()) < 4.0
    assert "Stubborn.never" in caplog.text


def test_a_parallel_pipeline_lets_each_frame_out_once_and_the_end_behind_all_branches() -> None:
    slow, recorder = Sleepy(0.5), Recorder()
    task = PipelineTask(Pipeline([ParallelPipeline([slow], [FrameProcessorThatPasses()]), recorder]))

    async def script() -> None:
        await task.queue_frames([TextFrame("x"), EndFrame()])

    run_virtual(run(task, script))
    assert recorder.names() == ["StartFrame", "TextFrame", "EndFrame", "CancelFrame"]


class FrameProcessorThatPasses(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)


def test_a_processor_may_stand_in_one_place_only() -> None:
    one = Recorder()
    with pytest.raises(UsageError, match="appears twice"):
        PipelineTask(Pipeline([one, one]))


def test_a_pipeline_is_made_of_processors() -> None:
    with pytest.raises(UsageError, match="missing parentheses"):
        Pipeline([Recorder])  # type: ignore[list-item]


def test_a_slow_processor_is_reported_by_name_and_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    task = PipelineTask(Pipeline([FrameProcessorThatPasses(), Sleepy(1.0), Recorder()]))

    async def script() -> None:
        await task.queue_frames([LLMTextFrame("slow"), LLMTextFrame("again"), EndFrame()])

    run_virtual(run(task, script))
    output = [record.getMessage() for record in caplog.records if "delays the frames" in record.getMessage()]
    assert len(output) == 1
    line = Sleepy.process_frame.__code__.co_firstlineno + 4
    assert output[0].startswith("Sleepy delays the frames behind it")
    assert f"test_frames_travel.py:{line}" in output[0]


def test_a_processor_that_only_waits_for_the_next_is_not_called_slow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = PipelineTask(Pipeline([FrameProcessorThatPasses(), Sleepy(1.0)]))

    async def script() -> None:
        await task.queue_frames([TextFrame("slow"), EndFrame()])

    run_virtual(run(task, script))
    assert "FrameProcessorThatPasses" not in caplog.text


def test_the_call_ends_when_nobody_speaks() -> None:
    async def script() -> float:
        task = PipelineTask(Pipeline([Recorder()]), idle_timeout_secs=30)
        await task.run()
        assert task.end_reason == "idle"
        return asyncio.get_running_loop().time()

    assert 30 <= run_virtual(script()) < 32


def test_an_observer_sees_the_types_it_names_and_its_failure_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Looker:
        frame_types = (TextFrame,)

        def __init__(self) -> None:
            self.seen: list[str] = []

        async def on_push_frame(
            self, source: FrameProcessor, frame: Frame, direction: FrameDirection
        ) -> None:
            self.seen.append(f"{source.name}:{frame.name}")
            raise RuntimeError("clumsy")

    looker, recorder = Looker(), Recorder()
    task = PipelineTask(Pipeline([FrameProcessorThatPasses(), recorder]), observers=[looker])

    async def script() -> None:
        await task.queue_frames([LLMTextFrame("x"), InputAudioRawFrame(b"", 8000), EndFrame()])

    run_virtual(run(task, script))
    assert looker.seen == [
        "PipelineTask:LLMTextFrame",
        "FrameProcessorThatPasses:LLMTextFrame",
        "Recorder:LLMTextFrame",
    ]
    assert texts(recorder) == ["x"]
    assert "clumsy" in caplog.text
