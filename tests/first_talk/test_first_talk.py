"""The first talk, through a Python WebRTC caller: the process as a newcomer starts it, its ears and voice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

from runner.audio.level import dbfs
from runner.callers.webrtc import WebRTCCaller

pytestmark = [pytest.mark.realtime, pytest.mark.local, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "tests" / "assets" / "commands"
AUDIBLE_DBFS = -45.0


@contextlib.asynccontextmanager
async def botrun() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`botrun bots/my_bot.py -t webrtc` without a key."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner.cli", "bots/my_bot.py", "-t", "webrtc", "--port", "0", "--no-open",
        cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line.decode()):
                yield found[0], process
                return
        raise AssertionError("botrun did not start")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def spoken(name: str) -> bytes:
    with wave.open(str(COMMANDS / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


class Talk:
    """What one caller heard and received."""

    def __init__(self, caller: WebRTCCaller) -> None:
        self.caller = caller

    def received(self, kind: str) -> list[Any]:
        return [m.value.get("data") for m in self.caller.messages if m.value.get("type") == kind]

    async def until(self, kind: str, count: int = 1) -> float:
        """Until so many messages of a kind have come; returns when the last of them did."""
        await eventually(lambda: len(self.received(kind)) >= count, 20)
        return [m.at for m in self.caller.messages if m.value.get("type") == kind][count - 1]

    def loudest_between(self, begin: float, end: float) -> float:
        return max((dbfs(h.pcm) for h in self.caller.heard if begin <= h.at < end), default=-120.0)

    async def say(self, name: str) -> None:
        await self.caller.say(spoken(name), 16000)


async def test_the_bot_understands_answers_aloud_and_is_silenced() -> None:
    async with botrun() as (url, process), WebRTCCaller(url) as caller:
        talk = Talk(caller)
        hello = {"version": "1.0.0", "about": {"library": "test"}}
        caller.send_message({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": hello})
        greeted_at = await talk.until("bot-stopped-speaking")
        assert talk.loudest_between(0, greeted_at) > AUDIBLE_DBFS

        await talk.say("what_time_is_it")
        await talk.until("user-transcription")
        assert talk.received("user-transcription")[0]["text"] == "what time is it"
        started_at = await talk.until("bot-started-speaking", 2)
        ended_at = await talk.until("bot-stopped-speaking", 2)
        assert talk.loudest_between(started_at, ended_at) > AUDIBLE_DBFS
        heard = " ".join(text["text"] for text in talk.received("bot-tts-text"))
        assert re.search(r"It is \d+", heard)

        await talk.say("count_to_twenty")
        await talk.until("bot-started-speaking", 3)
        await asyncio.sleep(1.0)
        before = len(talk.received("bot-interrupted"))
        talking = asyncio.create_task(talk.say("what_time_is_it"))
        cut_at = await talk.until("bot-interrupted", before + 1)
        await talking
        answered_at = await talk.until("bot-started-speaking", 4)
        # What is on its way and in the caller's jitter buffer is still heard, and then nothing.
        assert talk.loudest_between(cut_at + 0.5, answered_at) < AUDIBLE_DBFS

        process.terminate()
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_goodbye_is_answered_to_its_end_and_then_the_bot_leaves() -> None:
    async with botrun() as (url, _), WebRTCCaller(url) as caller:
        talk = Talk(caller)
        hello = {"version": "1.0.0", "about": {"library": "test"}}
        caller.send_message({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": hello})
        await talk.until("bot-stopped-speaking")
        await talk.say("goodbye")
        await talk.until("bot-stopped-speaking", 2)
        async with asyncio.timeout(10):
            await caller.ended.wait()
        words = [text["text"].lower() for text in talk.received("bot-tts-text")]
        assert "goodbye!" in words
        assert words[-1] == "you."
