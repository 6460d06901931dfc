"""Pictures between Pipecat's WebRTC transport and botrun's connection.

Room for pictures is negotiated when the bot first reads or shows one: until then no camera is asked for.
"""

from __future__ import annotations

import asyncio
import fractions
import logging
from typing import Any

import av
import numpy as np

from runner.botcode.location import Seldom
from runner.frames import InputImageRawFrame, OutputImageRawFrame
from runner.transports.pictures import PictureError, PictureSlot
from runner.transports.webrtc.camera import VIDEO_CLOCK_HZ, BotCamera
from runner.transports.webrtc.connection import SmallWebRTCConnection
from runner.transports.webrtc.peer import PictureWishes

logger = logging.getLogger(__name__)

BITRATE, FRAMERATE = 800_000, 30
"""Bits per second and pictures per second that the bot sends at most."""

LONG_S = 3600.0


class CallerPictures:
    """What Pipecat's transport reads as its video track: the caller's latest picture, as RGB.

    Attributes:
        camera: what the bot shows; None: nothing.
    """

    kind = "video"

    def __init__(self, connection: SmallWebRTCConnection) -> None:
        self.camera: BotCamera | None = None
        self._connection = connection
        self._slot: PictureSlot[InputImageRawFrame] = PictureSlot()
        self._wanted = self._has_come = False
        self._enabled = True

    def negotiate(self) -> None:
        """Ask the page for an offer with room for the pictures that are wanted."""
        wanted = self._take if self._wanted else None
        self._connection.exchange_pictures(PictureWishes(wanted, self.camera))

    def _take(self, picture: InputImageRawFrame) -> None:
        self._has_come = True
        self._slot.put(picture)

    async def recv(self) -> av.VideoFrame:
        if not self._wanted:
            self._wanted = True
            self.negotiate()
        while (picture := await self._slot.take(LONG_S)) is None:
            pass
        width, height = picture.size
        pixels = np.frombuffer(picture.image, np.uint8).reshape(height, width, 3)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = round(asyncio.get_running_loop().time() * VIDEO_CLOCK_HZ)
        frame.time_base = fractions.Fraction(1, VIDEO_CLOCK_HZ)
        return frame

    async def discard_old_frames(self) -> None:
        self._slot.clear()

    def is_enabled(self) -> bool:
        """Whether a picture has come: Pipecat warns about an enabled track without pictures."""
        return self._enabled and self._has_come

    def set_enabled(self, enabled: bool) -> None:
        self._enabled = enabled

    def stop(self) -> None:
        """The connection ends by itself."""


class BotPictures:
    """Shows the pictures of Pipecat's output. `caller`: negotiates both directions."""

    def __init__(self, connection: SmallWebRTCConnection, caller: CallerPictures) -> None:
        self._connection = connection
        self._caller = caller
        self._problems = Seldom()

    def show(self, frame: Any) -> None:
        """In the place of `RawVideoTrack.add_video_frame`: show this picture soon."""
        if self._caller.camera is None:
            self._caller.camera = BotCamera(frame.size[0], frame.size[1], BITRATE, FRAMERATE)
            self._caller.negotiate()
        picture = OutputImageRawFrame(frame.image, tuple(frame.size), frame.format or "RGB")
        try:
            self._caller.camera.show(picture)
        except PictureError as error:
            sentence = self._problems.pass_on(str(error), None, asyncio.get_running_loop().time())
            if sentence is not None:
                logger.warning("a picture of the bot is not shown: %s", sentence)
