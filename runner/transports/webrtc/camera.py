"""Pictures of the bot on their way out, and of the caller on their way in. All heavy work is in threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from runner.frames import InputImageRawFrame, OutputImageRawFrame
from runner.transports.pictures import IDLE_SECS, PicturePacer, PictureSlot, check_picture
from runner.transports.webrtc.codecs.vp8 import VIDEO_CLOCK_HZ, PictureEncoder

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream

OnPicture = Callable[[InputImageRawFrame], None]
"""Takes the caller's latest picture. Called on the loop; must not wait."""


class BotCamera:
    """What the bot shows, whoever is the peer.

    Args:
        width, height: in pixels.
        bitrate: bits per second at most.
        framerate: pictures per second at most.

    Attributes:
        slot: the latest picture that was not sent yet.
        relieved: pictures left out so that sound was not late.
        sent: pictures encoded.
    """

    def __init__(self, width: int, height: int, bitrate: int, framerate: float) -> None:
        self.size = (width, height)
        self.bitrate = bitrate
        self.framerate = framerate
        self.slot: PictureSlot[OutputImageRawFrame] = PictureSlot()
        self.last: OutputImageRawFrame | None = None
        self.relieved = 0
        self.sent = 0

    def show(self, picture: OutputImageRawFrame) -> None:
        """Shows it soon, unless another comes first. Raises `PictureError`."""
        check_picture(picture)
        self.slot.put(picture)

    async def next(self) -> OutputImageRawFrame | None:
        """The latest; after a while without a new one, the last again."""
        self.last = await self.slot.take(IDLE_SECS) or self.last
        return self.last


class CameraTrack(MediaStreamTrack):
    """The bot's camera as one peer sees it: encodes in a thread of its own, one picture at a time.

    Attributes:
        bitrate_limit: what the far end says it can take (bits/s); None while it does not.
    """

    kind = "video"

    def __init__(self, camera: BotCamera) -> None:
        super().__init__()
        self.bitrate_limit: Callable[[], int | None] = lambda: None
        self._camera = camera
        self._pacer = PicturePacer(camera.framerate)
        self._encoder = PictureEncoder(*camera.size, camera.framerate)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="botrun-camera")
        self._origin: float | None = None
        self._keyframe = True

    def refresh(self) -> None:
        """The far end has lost something: the next picture must stand by itself."""
        self._keyframe = True

    def stop(self) -> None:
        super().stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def recv(self) -> Packet[VideoStream]:
        """aiortc's sender asks for the next packet: waits until it is due."""
        while True:
            if self.readyState != "live":
                raise MediaStreamError
            if not await self._is_due():
                continue
            picture = await self._camera.next()
            if picture is not None and self.readyState == "live":
                return await self._encode(picture)

    async def _is_due(self) -> bool:
        if (wait_secs := self._pacer.wait_secs(_now())) <= 0:
            return True
        await asyncio.sleep(wait_secs)
        if self._pacer.woke(_now()):
            return True
        self._camera.relieved += 1
        return False

    async def _encode(self, picture: OutputImageRawFrame) -> Packet[VideoStream]:
        now = _now()
        self._origin = self._origin if self._origin is not None else now
        self._pacer.sent(now)
        keyframe, self._keyframe = self._keyframe, False
        pts = round((now - self._origin) * VIDEO_CLOCK_HZ)
        bitrate = min(self._camera.bitrate, self.bitrate_limit() or self._camera.bitrate)
        loop = asyncio.get_running_loop()
        packet = await loop.run_in_executor(
            self._thread, self._encoder.encode, picture, pts, bitrate, keyframe
        )
        self._camera.sent += 1
        return packet


class CallerCamera:
    """Reads the caller's track, and makes RGB of the latest picture only.

    Attributes:
        dropped: pictures that were not looked at, because newer ones were there.
    """

    def __init__(self, track: MediaStreamTrack, on_picture: OnPicture) -> None:
        self.dropped = 0
        self._track = track
        self._on_picture = on_picture
        self._latest: VideoFrame | None = None
        self._there = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read(), name="webrtc-camera-in"),
            asyncio.create_task(self._convert(), name="webrtc-camera-rgb"),
        ]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        with contextlib.suppress(MediaStreamError):  # the track has ended
            while True:
                frame = cast("VideoFrame", await self._track.recv())
                self.dropped += self._latest is not None
                self._latest = frame
                self._there.set()

    async def _convert(self) -> None:
        while True:
            await self._there.wait()
            self._there.clear()
            frame, self._latest = self._latest, None
            if frame is not None:
                image = await asyncio.to_thread(_to_rgb, frame)
                self._on_picture(InputImageRawFrame(image, (frame.width, frame.height)))


def _to_rgb(frame: VideoFrame) -> bytes:
    return bytes(frame.to_ndarray(format="rgb24").tobytes())


def _now() -> float:
    return asyncio.get_running_loop().time()
