"""Sends back what it hears. The benchmarks' bot: ECHO_VAD=1 runs voice detection on the sound as well."""

import os

from runner import RunnerArguments, SmallWebRTCRunnerArguments
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import BaseTransport, TransportParams


class Echo(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)


def make_transport(runner_args: RunnerArguments) -> BaseTransport:
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=16000)
    if os.environ.get("ECHO_VAD") == "1":
        from runner.vad import SileroVADAnalyzer

        params.vad_analyzer = SileroVADAnalyzer()
    if isinstance(runner_args, SmallWebRTCRunnerArguments):
        from runner.transports.webrtc import SmallWebRTCTransport

        return SmallWebRTCTransport(params=params, webrtc_connection=runner_args.webrtc_connection)
    raise ValueError(f"this bot has no transport for {type(runner_args).__name__}")


async def bot(runner_args: RunnerArguments) -> None:
    transport = make_transport(runner_args)
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    # Speech over the echo is the purpose here, not an interruption.
    task = PipelineTask(pipeline, params=PipelineParams(allow_interruptions=False))
    await PipelineRunner().run(task)
