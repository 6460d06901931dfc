"""The caller's way in: VAD before the queue, a bounded queue, silence for what does not come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from runner.frames import (
    EndFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    StartFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor
from runner.testing import Recorder, run_virtual
from runner.transports.input import QUEUE_MS, BaseInputTransport
from runner.transports.params import TransportParams
from runner.turns import VADParams, VADStateMachine
from runner.vad.base import VADAnalyzer

RATE = 16000
LOUD, QUIET = b"\x00\x40" * 320, bytes(640)


class LoudnessVAD(VADAnalyzer):
    """Takes everything but zeros for speech, in windows of 20 ms."""

    def __init__(self) -> None:
        params = VADParams(start_secs=0.06, stop_secs=0.2)
        super().__init__(params=params)
        self.machine = VADStateMachine(params, window_secs=0.02)

    def analyze(self, pcm: bytes, now: float) -> list:  # type: ignore[type-arg]
        events = []
        for begin in range(0, len(pcm), 640):
            loud = float(any(pcm[begin : begin + 640]))
            if event := self.machine.update(loud, loud, now):
                events.append(event)
        return events


def run(
    script: Callable[[BaseInputTransport, Recorder, PipelineTask], Awaitable[None]],
    *between: FrameProcessor,
    vad: LoudnessVAD | None = None,
) -> Recorder:
    async def main() -> Recorder:
        params = TransportParams(audio_in_enabled=True, vad_analyzer=vad or LoudnessVAD())
        caller, recorder = BaseInputTransport(params), Recorder()
        task = PipelineTask(Pipeline([caller, *between, recorder]))

        async def play() -> None:
            await asyncio.sleep(0.01)
            await script(caller, recorder, task)

        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(play())
        return recorder

    return run_virtual(main())


async def send(caller: BaseInputTransport, pcm: bytes, count: int) -> None:
    for _ in range(count):
        caller.receive_audio(InputAudioRawFrame(pcm, RATE))
        await asyncio.sleep(0.02)


def test_speech_is_framed_by_started_and_stopped_in_order_with_its_sound() -> None:
    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await send(caller, QUIET, 5)
        await send(caller, LOUD, 20)
        await send(caller, QUIET, 20)
        await task.stop_when_done()

    names = run(script).names()
    started, stopped = names.index("UserStartedSpeakingFrame"), names.index("UserStoppedSpeakingFrame")
    # Noticed 60 ms into the speech, and 200 ms after it.
    assert set(names[1:started]) <= {"InputAudioRawFrame", "InterruptionFrame"}
    assert names[:started].count("InputAudioRawFrame") in (8, 9)
    assert names[:stopped].count("InputAudioRawFrame") in (35, 36)
    assert names[-2:] == ["EndFrame", "CancelFrame"]


def test_speech_is_detected_before_a_processor_that_blocks_gets_the_sound() -> None:
    class Counts(LoudnessVAD):
        heard = 0

        def analyze(self, pcm: bytes, now: float) -> list:  # type: ignore[type-arg]
            self.heard += len(pcm) // 640
            return super().analyze(pcm, now)

    class Blocks(FrameProcessor):
        def __init__(self) -> None:
            super().__init__()
            self.behind: list[int] = []

        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, InputAudioRawFrame):
                self.behind.append(vad.heard)
                time.sleep(0.2)
            await self.push_frame(frame, direction)

    vad, blocks = Counts(), Blocks()

    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await send(caller, LOUD, 4)
        await task.stop_when_done()

    run(script, blocks, vad=vad)
    assert blocks.behind == [1, 2, 3, 4]


def test_speech_ends_although_no_more_sound_comes() -> None:
    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await send(caller, LOUD, 20)
        await asyncio.sleep(2)
        assert recorder.of(UserStoppedSpeakingFrame)
        await task.cancel()

    recorder = run(script)
    assert len(recorder.of(UserStartedSpeakingFrame)) == 1
    assert len(recorder.of(UserStoppedSpeakingFrame)) == 1


def test_sound_that_comes_before_the_pipeline_is_ready_is_kept() -> None:
    class SlowToConnect(FrameProcessor):
        async def setup(self, setup) -> None:  # type: ignore[no-untyped-def]
            await super().setup(setup)
            await asyncio.sleep(2)

        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await self.push_frame(frame, direction)

    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await send(caller, QUIET, 50)
        assert not recorder.seen
        await asyncio.sleep(2)
        await task.stop_when_done()

    recorder = run(script, SlowToConnect())
    assert recorder.names()[0] == "StartFrame"
    assert len(recorder.of(InputAudioRawFrame)) == 50


def test_a_pipeline_that_takes_nothing_makes_the_oldest_sound_drop_and_be_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stuck(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, InputAudioRawFrame):
                await asyncio.sleep(3600)
            await self.push_frame(frame, direction)

    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await send(caller, QUIET, QUEUE_MS // 20 + 101)
        assert caller.dropped_ms == pytest.approx(2000)
        await task.cancel()

    run(script, Stuck())
    assert caplog.text.count("oldest sound is dropped") == 1


def test_rates_come_from_the_transport_unless_somebody_says_otherwise() -> None:
    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        await task.stop_when_done()

    (start,) = (seen.frame for seen in run(script).of(StartFrame))
    assert isinstance(start, StartFrame)
    assert (start.audio_in_sample_rate, start.audio_out_sample_rate) == (16000, 24000)


def test_what_was_said_before_the_end_still_arrives() -> None:
    async def script(caller: BaseInputTransport, recorder: Recorder, task: PipelineTask) -> None:
        for _ in range(10):
            caller.receive_audio(InputAudioRawFrame(QUIET, RATE))
        await task.stop_when_done()

    recorder = run(script)
    assert len(recorder.of(InputAudioRawFrame)) == 10
    assert recorder.of(EndFrame)
