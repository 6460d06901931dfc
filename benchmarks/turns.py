#!/usr/bin/env python3
"""How soon the bot answers and falls silent, and what it remembers, over the phone's wire on real sockets.

    .venv/bin/python benchmarks/turns.py [--turns 30] [--interruptions 20]

Fakes answer: the language model after 150 ms, the voice after 80 ms, the recogniser at once; the VAD stops
200 ms after the last sound. All figures are taken from what the phone hears; the decision to interrupt is the
moment at which the floor calls `interrupt()`, on the same clock.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from phone_bots import WORD_S, CountedBot, CountedVoice, over_sockets, tone  # noqa: E402

from runner.callers.call_report import measure  # noqa: E402
from runner.callers.phone import Phone  # noqa: E402
from runner.callers.sound.microphone import Manner  # noqa: E402

LLM_MS, TTS_MS, STOP_MS = 150, 80, 200
WORDS = " ".join(f"word{n}" for n in range(16)) + "."


async def turns(count: int) -> list[float]:
    bot = CountedBot(greeting="", replies=("one two.",) * count)
    async with over_sockets(bot) as served, served.phone("twilio") as phone:
        for turn in range(count):
            said = phone.say(tone(0.5), 8000, "words", Manner.TURN)
            await phone.until(lambda said=said: said.done, 10)
            await phone.until(
                lambda turn=turn: len(phone.speech.spans) > turn and phone.bot_quiet_s() > 0.4, 10
            )
    return list(measure(phone).turn_latencies_ms)


async def interruptions(count: int) -> tuple[list[float], list[int]]:
    """Stop latencies (ms) after the decision, and by how many words memory and recording differ."""
    stops, wrong = [], []
    for index in range(count):
        bot = CountedBot(greeting=WORDS, replies=("yes.",))
        async with over_sockets(bot) as served, served.phone("twilio") as phone:
            await phone.until(phone.bot_has_spoken, 10)
            decided = watch(bot)
            await asyncio.sleep(0.4 + 0.11 * index + random.Random(index).random() * WORD_S)
            await speak_over(phone)
            await asyncio.sleep(0.6)
        cut = next(c for c in phone.log.cleared if c.dropped_s)
        stops.append((cut.at - decided[0]) * 1000)
        wrong.append(abs(heard_words(phone, bot) - len(remembered(bot))))
    return stops, wrong


def watch(bot: CountedBot) -> list[float]:
    """When the task is interrupted from now on."""
    decided: list[float] = []
    interrupt = bot.task.interrupt
    loop = asyncio.get_running_loop()

    def noted() -> Any:
        decided.append(loop.time())
        return interrupt()

    bot.task._floor._interrupt = noted
    return decided


async def speak_over(phone: Phone) -> None:
    said = phone.say(tone(0.5), 8000, "words", Manner.INTERRUPTION)
    await phone.until(lambda: said.done, 10)


def heard_words(phone: Phone, bot: CountedBot) -> int:
    """How many words of the greeting the recording holds, the one that was cut short included."""
    recording, greeting = phone.playout.recording(), bot.telephone_sound(phone.wire)[0]
    begin = recording.index(greeting[:1600])
    length = 0
    while recording[begin + length : begin + length + 160] == greeting[length : length + 160]:
        length += 160
    return -(-length // round(2 * WORD_S * 8000))


def remembered(bot: CountedBot) -> list[str]:
    said = next((m["content"] for m in bot.context.messages if m["role"] == "assistant"), "")
    return str(said).split()


async def main(turn_count: int, interruption_count: int) -> None:
    CountedVoice.first_s = TTS_MS / 1000
    latencies = await turns(turn_count)
    floor = LLM_MS + TTS_MS + STOP_MS
    over = sorted(ms - floor for ms in latencies)
    parts = f"model {LLM_MS} + voice {TTS_MS} + VAD stop {STOP_MS} = {floor} ms"
    print(f"turn latency, {len(latencies)} turns: {parts}")
    print(f"  p50 {statistics.median(latencies):.0f}, p95 {p95(latencies):.0f} ms; above the sum: "
          f"p50 {statistics.median(over):.1f}, p95 {p95(over):.1f}, most {over[-1]:.1f} ms")  # fmt: skip
    stops, wrong = await interruptions(interruption_count)
    print(f"stop latency after the decision, {len(stops)} interruptions: p50 {statistics.median(stops):.1f}, "
          f"p95 {p95(stops):.1f}, most {max(stops):.1f} ms")  # fmt: skip
    within = sum(words <= 1 for words in wrong)
    print(f"memory and recording differ by at most one word in {within} of {len(wrong)} (each: {wrong})")


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--interruptions", type=int, default=20)
    args = parser.parse_args()
    asyncio.run(main(args.turns, args.interruptions))
