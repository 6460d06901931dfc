"""A paused bot goes on where it stopped: what the listener hears is every sample, once."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest

from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.testing import FakeTransport, Recorder, run_virtual

RATE = 24000
SAMPLES = 2 * RATE
WORD_MS = 250


def listened(sent: list[tuple[float, bytes]], cleared: list[float]) -> list[int]:
    """What a peer plays that plays what comes, and drops the rest on a clear."""
    heard: list[int] = []
    for index, begin in enumerate([0.0, *cleared]):
        end = [*cleared, 1e9][index]
        played_until = begin
        for at, pcm in sent:
            if not begin <= at < end:
                continue
            start = max(played_until, at)
            samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
            played_until = start + len(samples) / RATE
            heard += samples[: max(0, round((min(end, played_until) - start) * RATE))]
    return [sample for sample in heard if sample]


def speak(script: Callable[[FakeTransport], Awaitable[None]]) -> tuple[FakeTransport, Recorder]:
    """Two seconds of numbered samples, eight words; `script` pauses and resumes meanwhile."""

    async def run() -> tuple[FakeTransport, Recorder]:
        transport, heard = FakeTransport(), Recorder()
        task = PipelineTask(Pipeline([transport.input(), transport.output(), heard]))
        numbers = [1 + n % 32000 for n in range(SAMPLES)]
        sound = struct.pack(f"<{SAMPLES}h", *numbers)
        words = [TTSTextFrame(str(n), audio_offset_ms=n * WORD_MS) for n in range(8)]
        await task.queue_frames(
            [TTSStartedFrame(), *words, TTSAudioRawFrame(sound, RATE), TTSStoppedFrame(), EndFrame()]
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(script(transport))  # type: ignore[arg-type]
        return transport, heard

    return run_virtual(run())


EXPECTED = [1 + n % 32000 for n in range(SAMPLES)]


@pytest.mark.parametrize("at_s", [0.0, 0.011, 0.4, 0.7333, 1.234567, 1.99, 2.5])
@pytest.mark.parametrize("gap_s", [0.0, 0.013, 1.0])
def test_every_sample_that_was_not_heard_is_heard_once(at_s: float, gap_s: float) -> None:
    async def script(it: FakeTransport) -> None:
        await asyncio.sleep(at_s)
        it.listener.pause()
        await asyncio.sleep(gap_s)
        it.listener.resume()

    it, _ = speak(script)
    assert listened(it.listener.sent, it.listener.cleared) == EXPECTED


def test_several_pauses_in_one_utterance() -> None:
    async def script(it: FakeTransport) -> None:
        for at_s in (0.3, 0.01, 0.25, 0.5, 0.333):
            await asyncio.sleep(at_s)
            it.listener.pause()
            await asyncio.sleep(0.4)
            it.listener.resume()

    it, heard = speak(script)
    assert listened(it.listener.sent, it.listener.cleared) == EXPECTED
    assert len(heard.of(BotPausedSpeakingFrame)) == 5


def test_words_and_sound_behind_the_output_come_once_and_when_they_are_heard() -> None:
    async def script(it: FakeTransport) -> None:
        await asyncio.sleep(0.6)
        it.listener.pause()
        await asyncio.sleep(1.0)
        it.listener.resume()

    _, heard = speak(script)
    words = [(seen.frame.text, seen.at) for seen in heard.of(TTSTextFrame)]  # type: ignore[attr-defined]
    assert [word for word, _ in words] == list("01234567")
    for index, (_, at) in enumerate(words):
        assert at == pytest.approx(index * WORD_MS / 1000 + (1.0 if index > 2 else 0.0), abs=0.03)
    sound = b"".join(seen.frame.audio for seen in heard.of(TTSAudioRawFrame))  # type: ignore[attr-defined]
    assert struct.unpack(f"<{len(sound) // 2}h", sound) == tuple(EXPECTED)


def test_the_gap_is_reported_and_the_speech_is_one_speech() -> None:
    async def script(it: FakeTransport) -> None:
        await asyncio.sleep(0.6)
        it.listener.pause()
        await asyncio.sleep(1.0)
        it.listener.resume()

    _, heard = speak(script)
    kinds = (
        BotStartedSpeakingFrame,
        BotPausedSpeakingFrame,
        BotResumedSpeakingFrame,
        BotStoppedSpeakingFrame,
    )
    received = [seen.frame for seen in heard.of(*kinds)]
    assert [type(frame) for frame in received] == list(kinds)
    assert received[2].gap_ms == pytest.approx(1000)  # type: ignore[attr-defined]


def test_a_paused_bot_sends_nothing() -> None:
    async def script(it: FakeTransport) -> None:
        await asyncio.sleep(0.6)
        it.listener.pause()
        await asyncio.sleep(5.0)
        it.listener.resume()

    it, _ = speak(script)
    assert not [at for at, _ in it.listener.sent if 0.6 < at < 5.59]
    assert it.listener.cleared == [0.6]


def test_an_interruption_while_paused_leaves_nothing_to_go_on_with() -> None:
    async def script(it: FakeTransport) -> None:
        await asyncio.sleep(0.6)
        it.listener.pause()
        await asyncio.sleep(0.3)
        it.listener.processor_setup.interrupt()
        await asyncio.sleep(0.3)
        it.listener.resume()

    it, heard = speak(script)
    assert not [at for at, _ in it.listener.sent if at > 0.6]
    assert [seen.frame.text for seen in heard.of(TTSTextFrame)] == ["0", "1", "2"]  # type: ignore[attr-defined]
    (stopped,) = [seen.frame for seen in heard.of(BotStoppedSpeakingFrame)]
    assert stopped == BotStoppedSpeakingFrame(at=pytest.approx(0.6), interrupted=True)  # type: ignore[arg-type]
