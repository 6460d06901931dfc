"""Pictures, for every transport that carries them: the latest wins, and sound comes first.

Pure but for `PictureSlot`, which waits. A picture is taken when somebody has time for it; one that was not
taken before the next came is dropped and counted. So nothing piles up, however slow the bot, the encoder or
the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from runner.errors import BotrunError
from runner.frames import InputImageRawFrame, OutputImageRawFrame

CHANNELS: Mapping[str, int] = MappingProxyType({"RGB": 3, "RGBA": 4, "L": 1})
"""Bytes per pixel of the formats that may be shown, by the names that Pillow has for them."""

LATE_SECS = 0.020
"""A loop that wakes so much too late is short of time: sound, which it paces as well, is next to suffer."""

RELIEF_PICTURES = 5
"""So many pictures are then left out."""

IDLE_SECS = 0.5
"""Without a new picture the last is shown again after so long, for who came late or has lost some."""

PictureT = TypeVar("PictureT", InputImageRawFrame, OutputImageRawFrame)


class PictureError(BotrunError):
    """A picture whose bytes are not what its size and format say."""


def check_picture(picture: InputImageRawFrame | OutputImageRawFrame) -> None:
    """Raises `PictureError`, which says what is wrong with it."""
    (width, height), channels = picture.size, CHANNELS.get(picture.format)
    if channels is None:
        raise PictureError(f"a picture's format is one of {', '.join(CHANNELS)}, not {picture.format!r}")
    if width <= 0 or height <= 0 or len(picture.image) != width * height * channels:
        raise PictureError(
            f"a {picture.format} picture of {width}x{height} has {width * height * channels} bytes, "
            f"not {len(picture.image)}"
        )


class PictureSlot(Generic[PictureT]):
    """Room for one picture.

    Attributes:
        dropped: pictures that made room for a newer one.
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
        """The latest; None if none comes in time."""
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
    """When the next picture is due: at most `framerate` a second, fewer where time is short. Pure.

    Attributes:
        relieved: pictures left out so that sound was not late.
    """

    def __init__(self, framerate: float) -> None:
        self.relieved = 0
        self._interval_secs = 1 / framerate
        self._due: float | None = None

    def wait_secs(self, now: float) -> float:
        """How long until the next is due."""
        return max(0.0, self._due - now) if self._due is not None else 0.0

    def woke(self, now: float) -> bool:
        """Whether there is time for a picture, now that it is due; else some are left out."""
        if self._due is None or now - self._due <= LATE_SECS:
            return True
        self.relieved += RELIEF_PICTURES
        self._due = now + RELIEF_PICTURES * self._interval_secs
        return False

    def sent(self, now: float) -> None:
        """One is on its way. What was late is not made up for."""
        due = self._due if self._due is not None and now - self._due < self._interval_secs else now
        self._due = due + self._interval_secs
