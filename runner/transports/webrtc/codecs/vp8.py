"""VP8, which every WebRTC peer takes (RFC 7742 §5). Called in a thread: libvpx lets go of the GIL."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import cast

import av
import numpy as np
from av import Packet, VideoCodecContext, VideoFrame, VideoStream
from av.video.frame import PictureType

from runner.frames import OutputImageRawFrame

VIDEO_CLOCK_HZ = 90_000
_TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)
_AV_FORMATS: Mapping[str, str] = MappingProxyType({"RGB": "rgb24", "RGBA": "rgba", "L": "gray"})

KEYFRAME_EVERY = 3000
"""Pictures; a far end that needs one asks for it (RFC 4585 §6.3.1)."""


class PictureEncoder:
    """Pictures of any size in, VP8 of one size out.

    Args:
        width, height: of what leaves, in pixels; both are made even.
        framerate: pictures per second at most.
    """

    def __init__(self, width: int, height: int, framerate: float) -> None:
        self._width, self._height = width - width % 2, height - height % 2
        self._rate = Fraction(framerate).limit_denominator(1000)
        self._codec: VideoCodecContext | None = None

    def encode(
        self, picture: OutputImageRawFrame, pts: int, bitrate: int, keyframe: bool
    ) -> Packet[VideoStream]:
        """One picture at `pts` (in 90 kHz), with at most about `bitrate` (bits/s) from here on."""
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
