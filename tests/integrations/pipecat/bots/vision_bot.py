"""A bot for the browser that sees and shows pictures, with a route and command line arguments of its own."""

import argparse

from pipecat.frames.frames import (
    InputImageRawFrame,
    OutputImageRawFrame,
    OutputTransportMessageUrgentFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.run import app
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport, maybe_capture_participant_camera
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.workers.runner import WorkerRunner
from scripted import ToneTTS

SIZE = (160, 120)
pictures = 0


@app.get("/pictures/{prefix}")
async def count(prefix: str):
    return {prefix: pictures}


class Mirror(FrameProcessor):
    """Shows the caller's pictures in the other colours."""

    async def process_frame(self, frame, direction: FrameDirection):
        global pictures
        await super().process_frame(frame, direction)
        if isinstance(frame, InputImageRawFrame):
            pictures += 1
            inverted = bytes(255 - value for value in frame.image)
            await self.push_frame(OutputImageRawFrame(inverted, frame.size, "RGB"))
            return
        await self.push_frame(frame, direction)


async def bot(runner_args: RunnerArguments):
    assert isinstance(runner_args.webrtc_connection, SmallWebRTCConnection)
    transport = await create_transport(
        runner_args,
        {
            "webrtc": lambda: TransportParams(
                audio_in_enabled=True,
                audio_out_enabled=True,
                audio_out_sample_rate=22050,
                video_in_enabled=True,
                video_out_enabled=True,
                video_out_is_live=True,
                video_out_width=SIZE[0],
                video_out_height=SIZE[1],
            )
        },
    )
    worker = PipelineWorker(
        Pipeline([transport.input(), Mirror(), ToneTTS(22050), transport.output()]),
        params=PipelineParams(audio_out_sample_rate=22050),
    )

    @transport.event_handler("on_client_connected")
    async def on_client_connected(transport, client):
        await maybe_capture_participant_camera(transport, client, framerate=10)
        await worker.queue_frame(TTSSpeakFrame(runner_args.cli_args.greeting))

    @transport.event_handler("on_app_message")
    async def on_app_message(transport, message, sender):
        await worker.queue_frame(OutputTransportMessageUrgentFrame(message={"echo": message}))

    @transport.event_handler("on_client_disconnected")
    async def on_client_disconnected(transport, client):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    from pipecat.runner.run import main

    parser = argparse.ArgumentParser()
    parser.add_argument("--greeting", default="This is a greeting of fifty characters in all, or so")
    main(parser)
