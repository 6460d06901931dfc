"""A failure in the user's code is reported with its line, and not fifty times a second."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from runner.botcode.location import MOST_REPORTED, Seldom, describe, users_place
from runner.errors import UsageError
from runner.frames import EndFrame, Frame, FrameDirection, TextFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.testing import run_virtual
from runner.transports.base import Events


def failure_of(function: Any, *args: Any) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(*args)
    return caught.value


def test_the_line_is_the_user_s_own_not_a_library_s() -> None:
    def mine() -> None:
        json.loads("{")

    line = mine.__code__.co_firstlineno + 1
    failure = failure_of(mine)
    assert users_place(failure) == ("test_failures_reported.py", line)
    assert describe(failure).startswith("JSONDecodeError: Expecting property name")
    assert describe(failure).endswith(f"(test_failures_reported.py:{line})")


def test_a_botrun_error_is_reported_without_its_type() -> None:
    assert describe(UsageError("no such voice")) == "no such voice"


class Fails(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, TextFrame):
            raise KeyError(frame.text)


def test_a_processor_that_fails_on_each_frame_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        task = PipelineTask(Pipeline([Fails()]))
        await task.queue_frames([*(TextFrame(str(number)) for number in range(50)), EndFrame()])
        await PipelineRunner().run(task)

    run_virtual(run())
    [line] = [record.getMessage() for record in caplog.records if "failed on" in record.getMessage()]
    assert line.startswith("Fails failed on TextFrame: KeyError: '0' (test_failures_reported.py:")


def test_two_processors_that_fail_on_one_line_of_a_library_are_both_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        task = PipelineTask(Pipeline([Fails(name="ears"), Fails(name="voice")]))
        await task.queue_frames([TextFrame("hello"), TextFrame("again"), EndFrame()])
        await PipelineRunner().run(task)

    run_virtual(run())
    reported = [
        record.getMessage().split()[0] for record in caplog.records if "failed on" in record.getMessage()
    ]
    assert sorted(reported) == ["ears", "voice"]


def test_what_goes_on_failing_is_reported_again_with_a_count() -> None:
    seldom = Seldom(every_s=10)
    reported_at = [at for at in range(25) if seldom.pass_on("it broke", None, float(at))]
    assert reported_at == [0, 10, 20]
    assert seldom.pass_on("it broke", None, 40) == "it broke; 4 times more since this was last reported"
    assert seldom.pass_on("something else", None, 40) == "something else"


def test_reported_failures_are_forgotten_before_they_fill_the_memory() -> None:
    seldom = Seldom()
    for number in range(5 * MOST_REPORTED):
        assert seldom.pass_on(f"failure {number}", None, 0.0)
    assert len(seldom._reported) <= MOST_REPORTED


def emitted(handler: Any) -> None:
    async def run() -> None:
        events = Events(object(), "on_client_connected")
        events.handler("on_client_connected")(handler)
        events.emit("on_client_connected", "client")
        await events.aclose()

    run_virtual(run())


def test_a_handler_may_be_a_plain_function() -> None:
    seen: list[tuple[Any, ...]] = []
    emitted(lambda *args: seen.append(args))
    assert [args[1] for args in seen] == ["client"]


def test_a_handler_that_fails_is_reported_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    async def too_few(transport: object) -> None: ...

    emitted(too_few)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "takes 1 positional argument but 2 were given" in record.getMessage()
    assert record.getMessage().endswith(f"(test_failures_reported.py:{too_few.__code__.co_firstlineno})")


def test_a_plain_process_frame_is_refused_where_it_is_written() -> None:
    with pytest.raises(UsageError, match=r"Echo\.process_frame is not async: write `async def process_frame"):

        class Echo(FrameProcessor):
            def process_frame(self, frame: Frame, direction: FrameDirection) -> None:  # type: ignore[override]
                ...


async def test_a_pipeline_in_place_of_its_task_is_reported() -> None:
    with pytest.raises(UsageError, match=r"not <Pipeline>: write run\(PipelineTask\(pipeline\)\)"):
        await PipelineRunner().run(Pipeline([]))  # type: ignore[arg-type]
