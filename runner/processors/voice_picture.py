"""`VoicePicture`: what the bot says, drawn to its camera while it is heard."""

from __future__ import annotations

import asyncio

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
from runner.processors.voice_canvas import BAR_MS, VoiceCanvas, levels
from runner.turns.segments import join_units


class VoicePicture(FrameProcessor):
    """Shows a live waveform of the bot's voice, and its words as subtitles.

    Stands behind `transport.output()`, where sound and words come when they are heard, and sends its pictures
    back to it. Behind `Subtitles()` it shows those; without, the words that were heard since the last pause.

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
        """A picture at a time, with the sound that was heard meanwhile, or with the silence."""
        owed = 0.0
        while True:
            await self.push_frame(OutputImageRawFrame(self._canvas.draw(), self._size), UPSTREAM)
            await asyncio.sleep(self._interval_secs)
            owed += self._interval_secs * 1000 / BAR_MS
            heard, self._heard = self._heard, []
            for level in heard or [0.0] * int(owed):
                self._canvas.hear(level)
            owed = 0.0 if heard else owed - int(owed)
