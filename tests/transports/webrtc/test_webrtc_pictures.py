"""Pictures both ways over real connections."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from eventually import eventually
from picture_caller import PictureCaller, Scene

from runner.arguments import SmallWebRTCRunnerArguments
from runner.frames import Frame, FrameDirection, InputImageRawFrame, OutputImageRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.params import TransportParams
from runner.transports.webrtc import SmallWebRTCTransport

RED, GREEN = (200, 30, 30), (30, 180, 40)


class Painter(FrameProcessor):
    """Answers each picture with a green one of another size; notes what it has seen."""

    def __init__(self, upstream: bool = False) -> None:
        super().__init__()
        self.seen: list[InputImageRawFrame] = []
        self._back = FrameDirection.UPSTREAM if upstream else FrameDirection.DOWNSTREAM

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputImageRawFrame):
            self.seen.append(frame)
            await self.push_frame(OutputImageRawFrame(bytes(GREEN) * (160 * 90), (160, 90)), self._back)
        else:
            await self.push_frame(frame, direction)


class PictureBot:
    __name__ = "bot"

    def __init__(self, *, behind: bool = False, **params: Any) -> None:
        self.painter = Painter(upstream=behind)
        self.camera: Any = None
        self._behind = behind
        self._params = {"video_in_enabled": True, "video_out_enabled": True, **params}

    async def __call__(self, args: SmallWebRTCRunnerArguments) -> None:
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, **self._params)
        transport = SmallWebRTCTransport(webrtc_connection=args.webrtc_connection, params=params)
        middle = [self.painter, transport.output()]
        task = PipelineTask(Pipeline([transport.input(), *(middle[::-1] if self._behind else middle)]))

        @transport.event_handler("on_client_connected")
        async def connected(_: SmallWebRTCTransport, connection: Any) -> None:
            self.camera = transport.camera
            if self._params["video_in_enabled"]:  # as bots for Pipecat do
                await transport.capture_participant_video(transport.get_client_id(connection))

        await PipelineRunner().run(task)


def colour(pixels: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in np.asarray(pixels).reshape(-1, 3).mean(axis=0))


@pytest.mark.parametrize("video_first", [False, True])
@pytest.mark.parametrize("behind", [False, True])
async def test_pictures_go_both_ways(serve: Any, video_first: bool, behind: bool) -> None:
    bot = PictureBot(behind=behind, video_out_width=320, video_out_height=180, video_out_framerate=15)
    async with serve(bot) as served:
        async with PictureCaller(served.url, Scene((128, 96), 30, RED), video_first=video_first) as caller:
            await eventually(lambda: len(caller.seen) > 5 and len(bot.painter.seen) > 5)
            picture, (_, shown) = bot.painter.seen[-1], caller.seen[-1]
        await eventually(lambda: served.seen[0].ended.is_set())
    assert (picture.size, picture.format) == ((128, 96), "RGB")
    assert colour(np.frombuffer(picture.image, np.uint8)) == pytest.approx(RED, abs=12)
    assert (shown.width, shown.height) == (320, 180)
    assert colour(shown.to_ndarray(format="rgb24")) == pytest.approx(GREEN, abs=12)
    assert caller.negotiations == 2


async def test_a_bot_that_only_shows_takes_no_camera(serve: Any) -> None:
    bot = PictureBot(video_in_enabled=False)
    async with serve(bot) as served, PictureCaller(served.url, Scene((128, 96), 30, RED)) as caller:
        await eventually(lambda: bot.camera is not None)
        bot.camera.show(OutputImageRawFrame(bytes(GREEN) * 16, (4, 4)))
        await eventually(lambda: caller.seen)
    assert bot.painter.seen == []


async def test_a_bot_without_pictures_is_not_asked_for_any(serve: Any) -> None:
    bot = PictureBot(video_in_enabled=False, video_out_enabled=False)
    async with serve(bot) as served:
        scene = Scene((128, 96), 30, RED)
        async with PictureCaller(served.url, scene, video_first=True) as caller:
            await caller.microphone.write(bytes(640))
            await eventually(lambda: caller.heard)
    assert caller.negotiations == 1
    assert caller.seen == []
    assert scene.sent == 0


async def test_a_picture_of_the_wrong_type_is_reported_and_not_shown(serve: Any) -> None:
    bot = PictureBot()
    async with serve(bot) as served, PictureCaller(served.url) as caller:
        await eventually(lambda: bot.camera is not None)
        await bot.painter.push_frame(OutputImageRawFrame(b"123", (4, 4)))
        await bot.painter.push_frame(OutputImageRawFrame(bytes(GREEN) * 16, (4, 4)))
        await eventually(lambda: caller.seen)
    assert bot.camera.slot.dropped == 0
