"""As many users wrote it: reads the socket itself, builds its transport and serializer, says bye, ends."""

import asyncio
import os
import sys

from loguru import logger
from pipecat.frames.frames import EndFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from scripted import ToneTTS

logger.remove(0)
logger.add(sys.stderr, level="DEBUG")

GOODBYE = "I only want to tell you that I am leaving now, and wish you a good day"


async def run_bot(websocket, stream_sid: str, call_sid: str):
    serializer = TwilioFrameSerializer(
        stream_sid=stream_sid,
        call_sid=call_sid,
        account_sid=os.getenv("TWILIO_ACCOUNT_SID", ""),
        auth_token=os.getenv("TWILIO_AUTH_TOKEN", ""),
    )
    transport = FastAPIWebsocketTransport(
        websocket=websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, add_wav_header=False, serializer=serializer
        ),
    )
    pipeline = Pipeline([transport.input(), ToneTTS(8000), transport.output()])
    task = PipelineTask(
        pipeline, params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
    )

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        await task.queue_frames([TTSSpeakFrame(GOODBYE), EndFrame()])

    await PipelineRunner(handle_sigint=True, force_gc=True).run(task)
    logger.info(f"call {call_sid} is over")


async def bot(runner_args: RunnerArguments):
    transport_type, call_data = await parse_telephony_websocket(runner_args.websocket)
    assert transport_type == "twilio", transport_type
    assert isinstance(runner_args, RunnerArguments)
    runner_args.note = "arguments may be changed"
    await run_bot(runner_args.websocket, call_data["stream_id"], call_data["call_id"])


async def warm_up():
    logger.info("ready")


if __name__ == "__main__":
    from pipecat.runner.run import main

    asyncio.run(warm_up())
    main()
