"""The voice and its helper process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest

from runner.errors import ServiceError
from runner.services.common.spoken_text import Word
from runner.services.local.tts import Sound, Voice

pytestmark = pytest.mark.local

TEXT = "It is a quarter to four, and one of the best days of the year."
LONG = "This goes on and on for a rather long time. " * 60


@pytest.fixture
async def voice() -> AsyncIterator[Voice]:
    voice = Voice()
    await voice.start()
    yield voice
    await voice.stop()


async def say(speaker: Voice, text: str = TEXT, **how: object) -> tuple[bytearray, list[Word]]:
    pcm, words = bytearray(), []
    async for item in speaker.synthesize(text, **how):  # type: ignore[arg-type]
        if isinstance(item, Sound):
            pcm += item.pcm
        else:
            words.append(item)
    return pcm, words


async def test_a_sentence_is_said_with_the_time_of_each_word(voice: Voice) -> None:
    pcm, words = await say(voice)
    length_ms = len(pcm) / 2 / voice.rate_hz * 1000
    offsets = [word.offset_ms for word in words]
    assert [word.text for word in words] == TEXT.split()
    assert offsets == sorted(offsets)
    assert offsets[0] < 50
    assert 0.6 * length_ms < offsets[-1] < length_ms
    assert 2500 < length_ms < 6000
    assert max(pcm) > 0


async def test_a_text_of_several_jobs_keeps_its_word_times(voice: Voice) -> None:
    pcm, words = await say(voice, LONG)
    offsets = [word.offset_ms for word in words]
    assert [word.text for word in words] == LONG.split()
    assert offsets == sorted(offsets)
    assert offsets[-1] < len(pcm) / 2 / voice.rate_hz * 1000


async def test_rate_and_voice_can_be_chosen(voice: Voice) -> None:
    usual, fast, other = (
        await say(voice),
        await say(voice, rate=300),
        await say(voice, voice="en-gb-scotland"),
    )
    assert len(fast[0]) < 0.75 * len(usual[0])
    assert other[0] != usual[0]


async def test_a_voice_that_does_not_exist_is_named(voice: Voice) -> None:
    with pytest.raises(ServiceError, match="no voice 'robbie'"):
        await say(voice, voice="robbie")
    assert (await say(voice, "Hello."))[0]


@pytest.mark.parametrize("text", ["", " ", "…", "\0", "\ud800", "🙂", "<b>bold</b> & more", "Ünïcödé"])
async def test_odd_text_does_no_harm(voice: Voice, text: str) -> None:
    with contextlib.suppress(ServiceError):
        await say(voice, text)
    assert (await say(voice, "Hello."))[0]


async def test_closing_the_iterator_stops_the_voice(voice: Voice) -> None:
    said = voice.synthesize(LONG)
    async with contextlib.aclosing(said):
        async for item in said:
            if isinstance(item, Sound):
                break
    assert (await say(voice, "Hello."))[1] == [Word("Hello.", 0)]


async def test_sessions_take_turns(voice: Voice) -> None:
    ended: list[str] = []

    async def session(name: str, text: str) -> None:
        assert (await say(voice, text))[0]
        ended.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(session("long", LONG))
        for index in range(5):
            group.create_task(session(f"short {index}", "Hello."))
    assert ended[-1] == "long"


async def test_a_helper_that_is_killed_fails_its_jobs_with_a_sentence_and_is_replaced(voice: Voice) -> None:
    first = voice.pid

    async def kill_it_while_it_speaks() -> None:
        async for item in voice.synthesize(LONG):
            if isinstance(item, Sound):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(first, signal.SIGKILL)
                await asyncio.sleep(0.05)

    with pytest.raises(ServiceError, match="the helper process of the voice was ended by SIGKILL"):
        await kill_it_while_it_speaks()
    assert (await say(voice, "Hello."))[0]
    assert voice.pid != first


async def test_starting_twice_is_starting_once(voice: Voice) -> None:
    pid = voice.pid
    await asyncio.gather(voice.start(), voice.start())
    assert voice.pid == pid
