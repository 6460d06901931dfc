"""Shows the mean colour of what it sees in the left half of its picture, and blue in the right."""

import numpy as np

from runner import RunnerArguments, create_transport
from runner.frames import Frame, FrameDirection, InputImageRawFrame, OutputImageRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.base import TransportParams

SIZE = (320, 180)
BLUE = (30, 40, 200)


class Mirror(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputImageRawFrame):
            pixels = np.frombuffer(frame.image, np.uint8).reshape(-1, 3)
            picture = np.full((SIZE[1], SIZE[0], 3), BLUE, np.uint8)
            picture[:, : SIZE[0] // 2] = pixels.mean(axis=0).astype(np.uint8)
            await self.push_frame(OutputImageRawFrame(picture.tobytes(), SIZE))
        else:
            await self.push_frame(frame, direction)


def browser() -> TransportParams:
    return TransportParams(
        audio_in_enabled=True, audio_out_enabled=True, video_in_enabled=True, video_out_enabled=True,
        camera_out_width=SIZE[0], camera_out_height=SIZE[1], camera_out_framerate=15,
    )  # fmt: skip


async def bot(runner_args: RunnerArguments) -> None:
    transport = await create_transport(runner_args, {"webrtc": browser})
    await PipelineRunner().run(PipelineTask(Pipeline([transport.input(), Mirror(), transport.output()])))
