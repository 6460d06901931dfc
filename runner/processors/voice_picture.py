"""`VoicePicture`: shows the bot's voice on its camera as a live waveform with subtitles."""

from __future__ import annotations

import asyncio
import textwrap
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from runner.errors import MissingPackageError
from runner.frames import (
    Frame,
    FrameDirection,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    StartFrame,
    SubtitleFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
)
from runner.processors.base import UPSTREAM, FrameProcessor
from runner.turns.segments import join_units

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFont import FreeTypeFont, ImageFont

BACKGROUND = (17, 22, 26)
BAR = (116, 196, 210)
REST = (44, 58, 64)
TEXT = (236, 230, 217)

BARS = 64
BAR_MS = 20
LOUDEST = 12000.0
"""Mean amplitude over 20 ms of the loudest speech, of 32767."""

TEXT_LINES = 2


class VoiceCanvas:
    """Draws one call's pictures.

    Args:
        width, height: in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._levels = deque([0.0] * BARS, maxlen=BARS)
        self._text = ""
        self._words = self._blank()[: height // 3]
        _font(max(12, height // 16))  # a missing package is reported now, not during the call

    def hear(self, level: float) -> None:
        """Add the level (0 to 1) of the next `BAR_MS` of the voice."""
        self._levels.append(level)

    def say(self, text: str) -> None:
        """Show this text from now on."""
        if text != self._text:
            self._text = text
            self._words = self._draw_words(text)

    def draw(self) -> bytes:
        """The current picture, in RGB."""
        width, height = self._size
        canvas = self._blank()
        middle, reach = height * 2 // 5, height * 3 // 10
        step = width / (BARS + 8)
        thick = max(1, round(step * 0.55))
        for index, level in enumerate(self._levels):
            left = round((index + 4) * step)
            half = max(thick // 2 + 1, round(level * reach))
            canvas[middle - half : middle + half, left : left + thick] = BAR if level > 0.02 else REST
        canvas[height - len(self._words) :] = self._words
        return canvas.tobytes()

    def _blank(self) -> NDArray[np.uint8]:
        width, height = self._size
        return np.full((height, width, 3), BACKGROUND, np.uint8)

    def _draw_words(self, text: str) -> NDArray[np.uint8]:
        from PIL import Image, ImageDraw

        width, height = self._size
        font = _font(max(12, height // 16))
        room = Image.new("RGB", (width, height // 3), BACKGROUND)
        letters = max(10, int(width * 0.88 / font.getlength("n")))
        lines = textwrap.wrap(text, letters)[-TEXT_LINES:]
        ImageDraw.Draw(room).multiline_text(
            (width / 2, room.height / 2), "\n".join(lines), TEXT, font, anchor="mm", align="center", spacing=6
        )
        return np.asarray(room)


def levels(pcm: bytes, samples: int) -> list[float]:
    """Levels (0 to 1) of mono pcm, one value per `samples` samples."""
    sound = np.abs(np.frombuffer(pcm, "<i2").astype(np.float32))
    whole = len(sound) // samples * samples if samples else 0
    means = sound[:whole].reshape(-1, samples).mean(axis=1) if whole else np.zeros(0, np.float32)
    return [float(value) for value in np.minimum(1.0, np.sqrt(means / LOUDEST))]


@cache
def _font(size: int) -> FreeTypeFont | ImageFont:
    try:
        from PIL import ImageFont
    except ImportError:
        raise MissingPackageError("a picture with words", "pillow", "pip install 'botrun[camera]'") from None
    return ImageFont.load_default(size)


class VoicePicture(FrameProcessor):
    """Shows a live waveform of the bot's voice, and its words as subtitles.

    Place it after `transport.output()`, where audio and words arrive when they are heard; it pushes its
    pictures upstream. After `Subtitles()` it shows those, else the words heard since the user last spoke.

    Args:
        width, height: in pixels, as in the transport's `video_out_width` and `video_out_height`.
        framerate: pictures per second.
    """

    def __init__(self, width: int = 640, height: int = 360, framerate: float = 20) -> None:
        super().__init__()
        self._size = (width, height)
        self._canvas = VoiceCanvas(width, height)
        self._interval_secs = 1 / framerate
        self._heard: list[float] = []
        self._words: list[tuple[str, bool]] = []
        self._has_subtitles = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case StartFrame():
                self.create_task(self._draw(), "draw")
            case OutputAudioRawFrame(audio=pcm, sample_rate=rate):
                self._heard += levels(pcm, rate * BAR_MS // 1000)
            case SubtitleFrame(speaker="bot", text=text):
                self._has_subtitles = True
                self._canvas.say(text)
            case TTSTextFrame(text=text, joined=joined) if not self._has_subtitles:
                self._words.append((text.strip(), joined))
                self._canvas.say(join_units(self._words))
            case UserStartedSpeakingFrame():
                self._words.clear()
                self._canvas.say("")
        await self.push_frame(frame, direction)

    async def _draw(self) -> None:
        """Push pictures at the frame rate, each with the audio heard since the last one, or silence."""
        owed = 0.0
        while True:
            await self.push_frame(OutputImageRawFrame(self._canvas.draw(), self._size), UPSTREAM)
            await asyncio.sleep(self._interval_secs)
            owed += self._interval_secs * 1000 / BAR_MS
            heard, self._heard = self._heard, []
            for level in heard or [0.0] * int(owed):
                self._canvas.hear(level)
            owed = 0.0 if heard else owed - int(owed)
