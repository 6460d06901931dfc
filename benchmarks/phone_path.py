#!/usr/bin/env python3
"""The sound path of a phone call, measured by the local phone over real sockets on this machine.

    uv run python benchmarks/phone_path.py [--seconds 20] [--rounds 8] [--json]

* path: delay of an echo at 8 kHz beyond the 20 ms of its packets; botrun in a process of its own
* first media: from the voice's first frame to the first media message at the phone, per rate of the voice
* stop: from the decision to interrupt to silence at the phone, the clear's way included
* hang-up: from the last sample played to the closed socket

The last three run bot and phone in one process, for they compare times inside of the bot with the phone's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from phone_bots import PHONES, CountedBot, noise, over_sockets, tone  # noqa: E402

from runner.callers.bot_process import BotProcess  # noqa: E402
from runner.callers.call import new_wire  # noqa: E402
from runner.callers.call_report import lateness_ms, quantile  # noqa: E402
from runner.callers.phone import Passed, Phone  # noqa: E402
from runner.callers.sound.microphone import Manner  # noqa: E402
from runner.frames import Frame, FrameDirection  # noqa: E402
from runner.processors import FrameProcessor  # noqa: E402

RATES = (8000, 16000, 22050, 24000)


@dataclass
class Row:
    """One line of the table: values in ms."""

    what: str
    values: list[float]
    aim: str = ""

    def at(self, share: float) -> float:
        return quantile(sorted(self.values), share) if self.values else nan

    def __str__(self) -> str:
        figures = "".join(f"{self.at(share):9.1f}" for share in (0.5, 0.95, 0.99, 1.0))
        return f"{self.what:<34}{len(self.values):>6}{figures}   {self.aim}"

    def as_dict(self) -> dict[str, object]:
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {
            "what": self.what,
            "n": len(self.values),
            **{k: round(self.at(v), 2) for k, v in shares.items()},
        }


class Decisions(FrameProcessor):
    """Records when the pipeline is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def interrupted(self) -> None:
        self.at.append(self.processor_setup.clock())

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)


# ------------------------------------------------------------------ what is measured


async def echo_delay(provider: str, seconds: float) -> tuple[Row, list[float]]:
    """Each message's sound is unlike any other's, so that its echo is known by it."""
    bot = BotProcess(str(ROOT / "bots" / "echo_bot.py"), provider)
    async with bot.running(), Phone(bot.url, new_wire(provider), keep_messages=True) as phone:
        phone.say(noise(1, seconds, 8000), 8000)
        await asyncio.sleep(seconds + 0.5)
    sent = {p: m.at for m in phone.log.messages if m.to_bot and (p := payload(m))}
    back = [(p, m.at) for m in phone.log.messages if not m.to_bot and (p := payload(m))]
    delays = [(at - sent[p]) * 1000 for p, at in back if p in sent]
    return Row(f"path, {provider}", delays, "≤ 5 ms p50, ≤ 15 ms p99"), phone.log.late_s


def payload(message: Passed) -> str | None:
    """The sound of a message; None if it has none, or silence."""
    data = json.loads(message.text)
    found = data.get("media", {}).get("payload")
    return found if found and len(set(found)) > 8 else None


async def first_media(rate: int, rounds: int) -> Row:
    values = []
    for _ in range(rounds):
        bot = CountedBot(greeting="one two.", rate=rate, frame_ms=20)
        async with over_sockets(bot) as served, served.phone("twilio") as phone:
            await phone.until(phone.bot_has_spoken, 5)
        first = next(m.at for m in phone.log.messages if not m.to_bot and payload(m))
        values.append((phone.started_at + first - bot.voice.first_frame_at[0]) * 1000)
    return Row(f"first media, voice at {rate} Hz", values, "≤ 25 ms")


async def stop_latency(provider: str, rounds: int) -> tuple[Row, list[float]]:
    values, late = [], []
    for _ in range(rounds):
        decisions = Decisions()
        bot = CountedBot(greeting=" ".join(["word"] * 30), replies=(), between=lambda d=decisions: [d])  # type: ignore[misc]
        async with over_sockets(bot) as served, served.phone(provider) as phone:
            await phone.until(phone.bot_has_spoken, 5)
            await asyncio.sleep(0.5)
            utterance = phone.say(tone(0.5), 8000, manner=Manner.INTERRUPTION)
            await phone.until(lambda u=utterance: u.done, 5)  # type: ignore[misc]
            last = max((s.end for s in phone.speech.spans if s.begin < decisions.at[0]), default=nan)
        values.append((max(last, decisions.at[0]) - decisions.at[0]) * 1000)
        late += phone.log.late_s
    return Row(f"stop after the decision, {provider}", values, "≤ 60 ms p95"), late


async def hang_up(provider: str, rounds: int) -> Row:
    values = []
    for _ in range(rounds):
        bot = CountedBot(greeting="", replies=("one and goodbye.",))
        async with over_sockets(bot) as served, served.phone(provider) as phone:
            phone.say(tone(0.3), 8000)
            await phone.until(phone.ended.is_set, 10)
        assert phone.ended_at is not None
        values.append((phone.ended_at - phone.speech.spans[-1].end) * 1000)
    return Row(f"hang-up after the last word, {provider}", values, "0 to 300 ms")


# ------------------------------------------------------------------ the table


async def measure(seconds: float, rounds: int) -> tuple[list[Row], list[float]]:
    rows, late = [], []
    for provider in ("twilio", "telnyx", "plivo"):
        row, lateness = await echo_delay(provider, seconds)
        rows.append(row)
        late += lateness
    rows += [await first_media(rate, rounds) for rate in RATES]
    for provider in PHONES:
        row, lateness = await stop_latency(provider, rounds)
        rows.append(row)
        late += lateness
    rows += [await hang_up(provider, max(2, rounds // 2)) for provider in PHONES]
    return rows, late


def show(rows: Iterable[Row], late: list[float], load: float) -> None:
    print(f"{'ms':<34}{'n':>6}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}   aim")
    for row in rows:
        print(row)
    middle, nearly_worst, worst = lateness_ms(late)
    print(f"the phone itself was late by {middle} ms p50, {nearly_worst} ms p99, {worst} ms at most")
    print(f"load average {load:.2f} before, {os.getloadavg()[0]:.2f} after, on {os.cpu_count()} cores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="of echo, per provider")
    parser.add_argument("--rounds", type=int, default=8, help="calls per other figure")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    rows, late = asyncio.run(measure(asked.seconds, asked.rounds))
    if asked.json:
        print(
            json.dumps(
                {"rows": [row.as_dict() for row in rows], "phone_late_ms": lateness_ms(late)}, indent=2
            )
        )
    else:
        show(rows, late, load)


if __name__ == "__main__":
    main()
