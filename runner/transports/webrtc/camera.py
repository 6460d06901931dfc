"""Sends the bot's pictures as VP8, and receives the caller's.

Every WebRTC peer supports VP8 (RFC 7742 §5). Encoding and conversion run in threads; libvpx releases the
GIL.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet, VideoCodecContext, VideoFrame, VideoStream
from av.video.frame import PictureType

from runner.frames import InputImageRawFrame, OutputImageRawFrame
from runner.transports.pictures import IDLE_SECS, PicturePacer, PictureSlot, check_picture

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream

VIDEO_CLOCK_HZ = 90_000
_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
_AV_FORMATS: Mapping[str, str] = MappingProxyType({"RGB": "rgb24", "RGBA": "rgba", "L": "gray"})

KEYFRAME_EVERY = 3000
"""Number of pictures between key frames; a peer that needs one requests it (RFC 4585 §6.3.1)."""


class PictureEncoder:
    """Encodes pictures of any size as VP8 of one size.

    Args:
        width, height: output size in pixels; both are made even.
        framerate: maximum number of pictures per second.
    """

    def __init__(self, width: int, height: int, framerate: float) -> None:
        self._width, self._height = width - width % 2, height - height % 2
        self._rate = Fraction(framerate).limit_denominator(1000)
        self._codec: VideoCodecContext | None = None

    def encode(
        self, picture: OutputImageRawFrame, pts: int, bitrate: int, keyframe: bool
    ) -> Packet[VideoStream]:
        """Encode one picture at `pts` (90 kHz), with about `bitrate` (bits/s) at most from now on."""
        codec = self._codec
        if codec is None or abs(bitrate - (codec.bit_rate or 1)) > 0.1 * bitrate:
            codec = self._codec = self._open(bitrate)
        frame = _to_frame(picture).reformat(width=self._width, height=self._height, format="yuv420p")
        frame.pts, frame.time_base = pts, _TIME_BASE
        if keyframe:
            frame.pict_type = PictureType.I
        data = b"".join(bytes(packet) for packet in codec.encode(frame))
        packet = cast("Packet[VideoStream]", av.Packet(data))
        packet.pts, packet.time_base = pts, _TIME_BASE
        return packet

    def _open(self, bitrate: int) -> VideoCodecContext:
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = self._width, self._height, "yuv420p"
        codec.bit_rate, codec.framerate, codec.time_base = bitrate, self._rate, _TIME_BASE
        codec.gop_size, codec.qmin, codec.qmax = KEYFRAME_EVERY, 2, 56
        codec.thread_count = 1  # the other cores are for sound
        codec.options = {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "minrate": str(bitrate),
            "maxrate": str(bitrate),
            "bufsize": str(bitrate),  # one second
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
        return codec


def _to_frame(picture: OutputImageRawFrame) -> VideoFrame:
    width, height = picture.size
    pixels = np.frombuffer(picture.image, np.uint8)
    shape = (height, width) if picture.format == "L" else (height, width, len(pixels) // (height * width))
    return VideoFrame.from_ndarray(pixels.reshape(shape), format=_AV_FORMATS[picture.format])


OnPicture = Callable[[InputImageRawFrame], None]
"""Called with the caller's latest picture, on the event loop; must not block."""


class BotCamera:
    """The bot's pictures, for the peer that is connected.

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
        """The latest picture; after a while without a new one, the last again."""
        self.last = await self.slot.take(IDLE_SECS) or self.last
        return self.last


class CameraTrack(MediaStreamTrack):
    """The bot's camera for one peer; encodes in a thread, one picture at a time.

    Attributes:
        bitrate_limit: the peer's reported limit (bits/s); None before the first report.
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
        """The peer has lost packets: the next picture must be a key frame."""
        self._keyframe = True

    def stop(self) -> None:
        super().stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def recv(self) -> Packet[VideoStream]:
        """Called by aiortc's sender for the next packet; waits until it is due."""
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
    """Reads the caller's track and converts only the latest picture to RGB.

    Attributes:
        dropped: number of pictures skipped for newer ones.
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
