"""The bot's voice as a picture, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from runner.frames import Frame, FrameDirection, OutputImageRawFrame, SubtitleFrame, TTSAudioRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.processors.voice_picture import BAR, TEXT, VoiceCanvas, VoicePicture, levels
from runner.testing.virtual_time import run_virtual

SIZE = (320, 180)


def pixels(picture: bytes) -> Any:
    return np.frombuffer(picture, np.uint8).reshape(SIZE[1], SIZE[0], 3)


def count(picture: bytes, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels(picture).astype(int) - colour).max(axis=2) < 40).sum())


def test_a_loud_voice_stands_taller_than_a_quiet_one() -> None:
    quiet, loud, silent = (VoiceCanvas(*SIZE) for _ in range(3))
    for _ in range(64):
        quiet.hear(0.2)
        loud.hear(0.9)
    assert count(silent.draw(), BAR) == 0
    assert count(loud.draw(), BAR) > 2 * count(quiet.draw(), BAR) > 0


def test_levels_are_one_for_each_20_ms() -> None:
    found = levels(np.full(320 * 3 + 10, 8000, "<i2").tobytes() + bytes(640), 320)
    assert len(found) == 4
    assert found[0] > 0.5


def test_words_are_drawn_beneath_and_long_ones_stay_inside() -> None:
    canvas = VoiceCanvas(*SIZE)
    assert count(canvas.draw(), TEXT) == 0
    canvas.say("a word " * 60)
    drawn = canvas.draw()
    assert count(drawn, TEXT) > 100
    assert (pixels(drawn)[:, :4] == pixels(drawn)[0, 0]).all()
    canvas.say("")
    assert count(canvas.draw(), TEXT) == 0


class Viewer(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, bytes]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, OutputImageRawFrame):
            self.seen.append((asyncio.get_running_loop().time(), frame.image))
        else:
            await self.push_frame(frame, direction)


def test_what_is_heard_is_shown_upstream_at_a_steady_rate() -> None:
    async def watch() -> list[tuple[float, bytes]]:
        viewer, picture = Viewer(), VoicePicture(*SIZE, framerate=10)
        task = PipelineTask(Pipeline([viewer, picture]))
        running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
        await asyncio.sleep(1)
        sound = np.full(16000, 9000, "<i2").tobytes()
        await task.queue_frames([TTSAudioRawFrame(sound, 16000), SubtitleFrame("bot", "Hello there", 0, 900)])
        await asyncio.sleep(1)
        await task.cancel()
        await running
        return viewer.seen

    seen = run_virtual(watch())
    assert 18 <= len(seen) <= 22
    assert count(seen[8][1], BAR) == count(seen[8][1], TEXT) == 0
    assert count(seen[-1][1], BAR) > 500
    assert count(seen[-1][1], TEXT) > 50
