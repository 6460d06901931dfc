"""Real calls to a bot in a process of its own, and their records afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from eventually import eventually
from phone_bots import tone

from runner.callers.bot_process import BotProcess
from runner.callers.call import new_wire
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Manner
from runner.records.call import RecordedCall
from runner.records.folder import calls_folder, ids_in

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(120)]

BOT = """
import sys
import time
sys.path.insert(0, {support!r})
from phone_bots import CountedBot
from runner.processors import FrameProcessor
from runner.frames import LLMFullResponseStartFrame

class Blocks(FrameProcessor):
    async def process_frame(self, frame, direction):
        if isinstance(frame, LLMFullResponseStartFrame):
            time.sleep({blocked_s})  # the planted fault
        await self.push_frame(frame, direction)

async def bot(runner_args):
    await CountedBot(replies=("one two three.",) * 9, between=lambda: [Blocks()])(runner_args)
"""


def write_bot(folder: Path, blocked_s: float = 0.0) -> Path:
    support = str(Path(__file__).parents[1] / "support")
    path = folder / "planted_bot.py"
    path.write_text(textwrap.dedent(BOT.format(support=support, blocked_s=blocked_s)))
    return path


@pytest.fixture(autouse=True)
def recording_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTRUN_RECORD", "1")
    monkeypatch.chdir(tmp_path)


async def turns(phone: Phone, count: int) -> None:
    """The greeting, and so many answers."""
    for number in range(count + 1):
        assert await phone.until(
            lambda n=number: len(phone.speech.spans) > n and phone.bot_quiet_s() > 0.5, 20
        )  # type: ignore[misc]
        if number < count:
            utterance = phone.say(tone(0.6), 8000, "words", Manner.TURN)
            assert await phone.until(lambda said=utterance: said.done, 10)  # type: ignore[misc]


@contextlib.asynccontextmanager
async def calling(bot: Path) -> AsyncIterator[Phone]:
    """A phone that calls this bot, which has a process of its own."""
    async with (
        BotProcess(str(bot), "twilio").running() as process,
        Phone(process.url, new_wire("twilio")) as phone,
    ):
        yield phone


def the_call() -> RecordedCall:
    (name,) = ids_in(calls_folder())
    return RecordedCall(calls_folder() / name)


async def test_the_segments_add_up_to_the_silence_and_a_blocked_loop_is_named(tmp_path: Path) -> None:
    bot = write_bot(tmp_path, blocked_s=0.6)
    async with calling(bot) as phone:
        await turns(phone, 2)
    record = the_call()
    assert record.state == "ended"
    assert len(record.answers) == 2
    for answer in record.answers:
        assert answer.measured == "sound"
        assert sum(segment.seconds for segment in answer.segments) == pytest.approx(
            answer.silence_s, abs=1e-6
        )
        assert answer.silence_s == pytest.approx(silence_at(record, answer.to_s), abs=0.02)
    stalls = [event for event in record.events if event["kind"] == "stall"]
    assert {stall["cause"] for stall in stalls} == {"bot_code"}
    assert "planted_bot.py" in stalls[0]["place"]
    assert record.head["figures"]["stalls"] == len(stalls)


def silence_at(record: RecordedCall, at_s: float) -> float:
    """From the caller's last loud sample to the bot's first, by another way than the record's own."""
    rate = record.sound.sample_rate
    begin = round((at_s - 0.1) * rate)
    bot = np.flatnonzero(np.abs(record.sound.bot[begin:].astype(int)) > 300)[0] + begin
    caller = np.flatnonzero(np.abs(record.sound.caller[:bot].astype(int)) > 300)[-1]
    return float(bot - caller) / rate


async def test_a_killed_worker_leaves_all_but_the_last_second(tmp_path: Path) -> None:
    bot = write_bot(tmp_path)
    async with calling(bot) as phone:
        await turns(phone, 1)
        begun = the_call()
        assert begun.state == "running"
        worker = psutil.Process(int(begun.head["pid"]))
        loop = asyncio.get_running_loop()
        lasted_s = loop.time() - phone.started_at
        os.kill(worker.pid, signal.SIGKILL)
        await eventually(lambda: the_call().state == "lost", 10)
    record = the_call()
    assert record.state == "lost"
    assert record.summary.failed
    assert record.wire[-1].t > lasted_s - 1.0
    assert record.words[0].speaker == "bot"
    assert len(record.answers) == 1
    assert record.sound.duration_s > lasted_s - 1.0
