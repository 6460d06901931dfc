"""A bot for stories in a process of its own: says half a second; then hands over, hangs up or stays.

It tells which of its versions does what.
"""

from __future__ import annotations

from typing import Any

from runner import RunnerArguments, WebSocketRunnerArguments
from runner.frames import EndFrame, OutputAudioRawFrame, TransferCallFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport

VERSION = "version 0"


async def bot(runner_args: RunnerArguments) -> None:
    assert isinstance(runner_args, WebSocketRunnerArguments)
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = FastAPIWebsocketTransport(runner_args.websocket, params)
    task = PipelineTask(Pipeline([transport.input(), transport.output()]))
    wants = runner_args.body.get("then", "hang up")

    @transport.event_handler("on_client_connected")
    async def begin(transport: Any, client: Any) -> None:
        print(f"{VERSION} answers {runner_args.call_id}", flush=True)
        await task.queue_frame(OutputAudioRawFrame(b"\1\1" * 4000, 8000))
        if wants == "hand over":
            await task.queue_frame(TransferCallFrame(to="+14150000009"))
        elif wants == "hang up":
            await task.queue_frame(EndFrame())

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: Any, client: Any) -> None:
        print(f"{VERSION} was left by {runner_args.call_id}", flush=True)
        await task.cancel()

    await PipelineRunner().run(task)
