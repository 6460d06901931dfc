"""A call on disk: both channels in step, as heard, while the call goes on."""

from __future__ import annotations

import asyncio
import json
import wave
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runner.frames import Frame, InputAudioRawFrame, TTSAudioRawFrame, TTSTextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import AudioRecorder, LLMContext, LLMContextAggregatorPair
from runner.services.tts import TTSService
from runner.testing import FakeTransport, ScriptedLLM, run_virtual
from runner.transports.params import TransportParams

RATE = 16000
CHUNK = RATE // 50


class Counting(TTSService):
    """A voice whose n-th sample is n, so that each sample of a recording tells where it comes from."""

    gives_word_times = True

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        for number, word in enumerate(text.split()):
            yield TTSTextFrame(word, audio_offset_ms=number * 300)
        yield TTSAudioRawFrame(
            array("h", (n % 30000 + 1 for n in range(4800 * len(text.split())))).tobytes(), RATE
        )


class Call:
    """A recorded call of fakes."""

    def __init__(self, path: Path, *replies: str) -> None:
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=RATE)
        self.transport, self.recorder = FakeTransport(params), AudioRecorder(path)
        memory = LLMContextAggregatorPair(LLMContext())
        steps = [
            self.transport.input(), memory.user(), ScriptedLLM(replies), Counting(),
            self.transport.output(), self.recorder, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(steps))

    async def microphone(self) -> None:
        """The caller's n-th piece of 20 ms is all n, every 20 ms from the start on."""
        number = 0
        while True:
            await asyncio.sleep(0.02)
            number += 1
            piece = array("h", [number] * CHUNK).tobytes()
            self.transport.caller.receive_audio(InputAudioRawFrame(piece, RATE))

    def run(self, script: Callable[[Call], Awaitable[Any]]) -> Call:
        async def all_of_it() -> None:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.task.run())
                talking = group.create_task(self.microphone())
                await script(self)
                await running
                talking.cancel()

        run_virtual(all_of_it())
        return self


def read(path: Path) -> tuple[list[int], list[int]]:
    """The caller's samples and the bot's."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        both = array("h", file.readframes(file.getnframes()))
        assert len(both) == 2 * file.getnframes()
    return both[0::2].tolist(), both[1::2].tolist()


def words(call: Call) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call.recorder.words_path.read_text().splitlines()]


def test_both_channels_are_in_step_and_what_was_cut_off_is_not_there(tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await asyncio.sleep(0.5)
        await call.transport.caller.say("hello", 0.5)
        await asyncio.sleep(1.5)  # the answer comes 0.15 s later and is 3 s long
        await call.transport.caller.say("stop", 1.0)
        await asyncio.sleep(3)
        await call.task.stop_when_done()

    call = Call(
        tmp_path / "calls" / "one.wav", "one two three four five six seven eight nine ten.", "Well."
    ).run(script)
    user, bot = read(call.recorder.path)
    assert len(user) == len(bot) == pytest.approx(6.5 * RATE, abs=RATE)
    assert user[: 50 * CHUNK] == [number for number in range(1, 51) for _ in range(CHUNK)]
    assert bot[: round(1.15 * RATE) - 1] == [0] * (round(1.15 * RATE) - 1)
    first = bot.index(1)
    assert first == pytest.approx(1.15 * RATE, abs=2)
    cut = round(2.5 * RATE)  # when the caller spoke again
    assert bot[first : cut - 1] == list(range(1, cut - first))
    second = bot.index(1, cut)
    assert set(bot[cut + 1 : second]) == {0}
    assert second == pytest.approx(3.65 * RATE, abs=2)
    assert bot[second : second + 4800] == list(range(1, 4801))


def test_the_words_stand_beside_with_their_times(tmp_path: Path) -> None:
    async def script(call: Call) -> None:
        await asyncio.sleep(0.5)
        await call.transport.caller.say("hello", 0.5)
        await asyncio.sleep(2)
        await call.task.stop_when_done()

    call = Call(tmp_path / "one.wav", "Good day.").run(script)
    assert words(call) == [
        {"speaker": "user", "at_ms": 500, "until_ms": 1000, "text": "hello"},
        {"speaker": "bot", "at_ms": 1150, "text": "Good"},
        {"speaker": "bot", "at_ms": 1450, "text": "day."},
    ]


def test_it_can_be_played_while_the_call_goes_on_and_holds_little_in_memory(tmp_path: Path) -> None:
    seen: list[int] = []

    async def script(call: Call) -> None:
        for _ in range(3):
            await asyncio.sleep(20)
            user, bot = read(call.recorder.path)  # as after a crash
            assert len(user) == len(bot)
            seen.append(len(user))
        held = [
            channel._track for channel in (call.recorder._user, call.recorder._bot) if channel is not None
        ]
        assert all(track.end - track.taken < 4 * RATE for track in held)
        await call.task.cancel()

    Call(tmp_path / "one.wav").run(script)
    assert all(20 * part - 3 <= length / RATE <= 20 * part for part, length in enumerate(seen, 1))


def test_a_call_that_cannot_be_recorded_goes_on_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    async def script(call: Call) -> None:
        await asyncio.sleep(0.5)
        await call.transport.caller.say("hello", 0.5)
        await asyncio.sleep(2)
        await call.task.stop_when_done()

    call = Call(tmp_path / "file" / "one.wav", "Good day.").run(script)
    assert len(call.transport.listener.sent) > 20
