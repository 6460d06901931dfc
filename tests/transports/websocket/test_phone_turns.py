"""Turns over each provider's wire, in virtual time: pauses to the sample, and memory beside the recording."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone_bots import PHONES, WORD_S, CountedBot, in_memory, tone

from runner.callers.phone import Phone
from runner.callers.sound.line import Line
from runner.callers.sound.microphone import Manner
from runner.testing import run_virtual

WORDS = " ".join(f"word{n}" for n in range(16)) + "."


async def cut_in(bot: CountedBot, provider: str, after_s: float, line: Line) -> Phone:
    async with in_memory(bot) as served, served.phone(provider, line=line) as phone:
        await phone.until(phone.bot_has_spoken, 10)
        await asyncio.sleep(after_s)
        phone.say(tone(0.5), 8000, "words", Manner.INTERRUPTION)
        await asyncio.sleep(1.0)
    return phone


def heard_words(phone: Phone, bot: CountedBot) -> int:
    """How many words the recording holds, the one that was cut short included."""
    recording, greeting = phone.playout.recording(), bot.telephone_sound(phone.wire)[0]
    begin, length = recording.index(greeting[:1600]), 0
    while recording[begin + length : begin + length + 80] == greeting[length : length + 80] != b"":
        length += 80
    return -(-length // round(2 * WORD_S * 8000))


@pytest.mark.long
@pytest.mark.parametrize("jitter_ms", [0, 60])
@pytest.mark.parametrize("provider", PHONES)
def test_memory_and_recording_differ_by_at_most_one_word(provider: str, jitter_ms: float) -> None:
    for index in range(20):
        bot = CountedBot(greeting=WORDS, replies=("yes.",))
        phone = run_virtual(cut_in(bot, provider, 0.3 + 0.137 * index, Line(jitter_ms=jitter_ms)), 60)
        remembered = bot.context.messages[0]["content"].split()
        assert abs(len(remembered) - heard_words(phone, bot)) <= 1, index


@pytest.mark.parametrize("provider", PHONES)
def test_a_pause_over_the_wire_loses_and_repeats_no_word(provider: str) -> None:
    async def call(bot: CountedBot) -> Phone:
        async with in_memory(bot) as served, served.phone(provider) as phone:
            await phone.until(phone.bot_has_spoken, 10)
            output: Any = next(p for p in bot.task._processors if hasattr(p, "pause"))
            for pause_s in (0.3, 0.7):
                await asyncio.sleep(0.61)
                output.pause()
                await asyncio.sleep(pause_s)
                output.resume()
            await asyncio.sleep(5)
        return phone

    bot = CountedBot(greeting=WORDS)
    phone = run_virtual(call(bot), 60)
    recording, said = phone.playout.recording(), bot.telephone_sound(phone.wire)[0]
    assert phone.log.violations == []
    assert bot.context.messages[0]["content"] == WORDS
    loud = [s for s in memoryview(recording).cast("h") if abs(s) > 500]
    expected = [s for s in memoryview(said).cast("h") if abs(s) > 500]
    # What was on its way to the provider at a pause may be heard twice: a chunk at most.
    assert 0 <= len(loud) - len(expected) <= 2 * 8000 * bot_chunk_s(provider)
    assert said[-8000:] in recording


def bot_chunk_s(provider: str) -> float:
    return 0.2 if provider == "exotel" else 0.02
