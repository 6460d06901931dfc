"""Sends back what it hears. The benchmarks' bot: ECHO_VAD=1 runs voice detection on the sound as well."""

import os

from runner import RunnerArguments, create_transport
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import TransportParams
from runner.transports.websocket import FastAPIWebsocketParams

WITH_VAD = os.environ.get("ECHO_VAD") == "1"
if WITH_VAD:
    # Importing it loads the model before the first call.
    from runner.vad import SileroVADAnalyzer

PHONES = ("twilio", "telnyx", "plivo", "exotel", "websocket")


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)


def with_vad(params: TransportParams) -> TransportParams:
    if WITH_VAD:
        params.vad_analyzer = SileroVADAnalyzer()
    return params


def browser() -> TransportParams:
    return with_vad(
        TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=16000)
    )


def phone() -> TransportParams:
    return with_vad(FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True))


async def bot(runner_args: RunnerArguments) -> None:
    transport = await create_transport(runner_args, {"webrtc": browser, **dict.fromkeys(PHONES, phone)})
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    # Speech over the echo is the purpose here, not an interruption.
    task = PipelineTask(pipeline, params=PipelineParams(allow_interruptions=False))
    await PipelineRunner().run(task)
