"""A bot that is saying goodbye when botrun stops, and prints when it hears of its caller's end.

`body`: {"says_s": length of what it says (s), "cleans_s": length of its `on_client_disconnected` (s)}.
"""

from __future__ import annotations

import asyncio
from typing import Any

from runner import RunnerArguments, WebSocketRunnerArguments
from runner.frames import TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport


async def bot(runner_args: RunnerArguments) -> None:
    assert isinstance(runner_args, WebSocketRunnerArguments)
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = FastAPIWebsocketTransport(runner_args.websocket, params)
    task = PipelineTask(Pipeline([transport.input(), transport.output()]))
    call, body = runner_args.call_id, runner_args.body

    @transport.event_handler("on_client_connected")
    async def begin(transport: Any, client: Any) -> None:
        sound = TTSAudioRawFrame(b"\1\1" * round(8000 * body["says_s"]), 8000)
        await task.queue_frames([TTSStartedFrame(), sound, TTSStoppedFrame()])

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: Any, client: Any) -> None:
        print(f"{call} left", flush=True)
        await asyncio.sleep(body["cleans_s"])
        print(f"{call} cleaned up", flush=True)
        await task.cancel()

    await PipelineRunner().run(task)
