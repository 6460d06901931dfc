"""Sends back what it hears; notes after each call what its process holds: a JSON line in SOAK_LOG."""

import asyncio
import gc
import json
import os
import threading

from runner import RunnerArguments, create_transport
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import TransportParams
from runner.transports.websocket import FastAPIWebsocketParams

_calls = 0
_noting: set[asyncio.Task[None]] = set()


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)


async def bot(runner_args: RunnerArguments) -> None:
    sound = {"audio_in_enabled": True, "audio_out_enabled": True}
    transport = await create_transport(
        runner_args,
        {
            "webrtc": lambda: TransportParams(**sound, audio_out_sample_rate=16000),
            **dict.fromkeys(("twilio", "websocket"), lambda: FastAPIWebsocketParams(**sound)),
        },
    )
    task = PipelineTask(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(allow_interruptions=False),
    )
    try:
        await PipelineRunner().run(task)
    finally:
        noting = asyncio.get_running_loop().create_task(_note(), name="soak note")
        _noting.add(noting)
        noting.add_done_callback(_noting.discard)


async def _note() -> None:
    global _calls
    await asyncio.sleep(0.5)  # the call's own tasks have ended by then
    _calls += 1
    if _calls % 20 == 0:
        gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    line = {
        "calls": _calls,
        "rss": resident,
        "fds": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()) - len(_noting),
    }
    with open(os.environ["SOAK_LOG"], "a") as file:
        file.write(json.dumps(line) + "\n")
