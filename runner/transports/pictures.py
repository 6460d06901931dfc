"""Pictures, for all transports that carry them. Only the latest is kept, and sound takes precedence.

A picture that was not taken before the next one is dropped and counted, so that pictures do not queue up if
the bot, the encoder or the network is slow. Pure except for `PictureSlot`, which waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from runner.errors import BotrunError
from runner.frames import InputImageRawFrame, OutputImageRawFrame

CHANNELS: Mapping[str, int] = MappingProxyType({"RGB": 3, "RGBA": 4, "L": 1})
"""Bytes per pixel of the supported formats, by Pillow's names."""

LATE_SECS = 0.020
"""An event loop that wakes later than this (s) is overloaded, and will delay sound, too."""

RELIEF_PICTURES = 5
"""Number of pictures skipped then."""

IDLE_SECS = 0.5
"""The last picture is sent again after this time (s), for peers that came late or lost packets."""

PictureT = TypeVar("PictureT", InputImageRawFrame, OutputImageRawFrame)


class PictureError(BotrunError):
    """A picture's bytes do not match its size and format."""


def check_picture(picture: InputImageRawFrame | OutputImageRawFrame) -> None:
    """Raises `PictureError` if the picture's format or number of bytes is wrong."""
    (width, height), channels = picture.size, CHANNELS.get(picture.format)
    if channels is None:
        raise PictureError(f"picture format {picture.format!r} is not supported: use {', '.join(CHANNELS)}")
    if width <= 0 or height <= 0 or len(picture.image) != width * height * channels:
        raise PictureError(
            f"a {picture.format} picture of {width}x{height} needs {width * height * channels} bytes, "
            f"not {len(picture.image)}"
        )


class PictureSlot(Generic[PictureT]):
    """Room for one picture.

    Attributes:
        dropped: pictures replaced by a newer one.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._picture: PictureT | None = None
        self._there = asyncio.Event()

    def put(self, picture: PictureT) -> None:
        self.dropped += self._picture is not None
        self._picture = picture
        self._there.set()

    async def take(self, timeout_secs: float) -> PictureT | None:
        """The latest picture; None after the timeout."""
        if self._picture is None:
            try:
                async with asyncio.timeout(timeout_secs):
                    await self._there.wait()
            except TimeoutError:
                return None
        picture, self._picture = self._picture, None
        self._there.clear()
        return picture

    def clear(self) -> None:
        self._picture = None
        self._there.clear()


class PicturePacer:
    """Schedules pictures: at most `framerate` per second, fewer under load. Pure.

    Attributes:
        relieved: pictures skipped so that sound was not late.
    """

    def __init__(self, framerate: float) -> None:
        self.relieved = 0
        self._interval_secs = 1 / framerate
        self._due: float | None = None

    def wait_secs(self, now: float) -> float:
        """Time (s) until the next picture is due."""
        return max(0.0, self._due - now) if self._due is not None else 0.0

    def woke(self, now: float) -> bool:
        """Whether there is time for the picture that is due; otherwise skip some."""
        if self._due is None or now - self._due <= LATE_SECS:
            return True
        self.relieved += RELIEF_PICTURES
        self._due = now + RELIEF_PICTURES * self._interval_secs
        return False

    def sent(self, now: float) -> None:
        """A picture was sent. Late ones are not caught up."""
        due = self._due if self._due is not None and now - self._due < self._interval_secs else now
        self._due = due + self._interval_secs
