#!/usr/bin/env python3
"""The first talk, measured: command to ready, click to first sound, turn and stop latency.

    uv run python benchmarks/first_talk.py [--rounds 5]

Starts `botrun bots/my_bot.py -t webrtc` afresh for each round, talks to it through a Python WebRTC caller on
this machine, and takes all times from the sound that arrives there, before any jitter buffer of a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
import wave
from pathlib import Path

from runner.audio.level import dbfs
from runner.callers.webrtc import WebRTCCaller

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT / "tests" / "assets" / "commands"
BOTRUN = [sys.executable, "-m", "runner.cli"]
LOUD_DBFS = -45.0
GAP_S = 0.9


def spoken(name: str) -> tuple[bytes, float]:
    """pcm at 16 kHz, and when (s) its speech ends."""
    with wave.open(str(COMMANDS / f"{name}.wav")) as file:
        pcm = file.readframes(file.getnframes())
    chunks = [pcm[i : i + 640] for i in range(0, len(pcm), 640)]
    last = max(i for i, chunk in enumerate(chunks) if dbfs(chunk) > LOUD_DBFS)
    return pcm, (last + 1) * 0.02


class Line:
    """What was heard on one call."""

    def __init__(self, caller: WebRTCCaller) -> None:
        self.caller = caller

    def loud_after(self, at: float) -> float | None:
        return next((h.at for h in self.caller.heard if h.at > at and dbfs(h.pcm) > LOUD_DBFS), None)

    def last_loud_before(self, at: float) -> float:
        return max((h.at for h in self.caller.heard if h.at <= at and dbfs(h.pcm) > LOUD_DBFS), default=0.0)

    async def sound(self, after: float, timeout_s: float = 8.0) -> float:
        """When the first loud sound after a time came."""
        async with asyncio.timeout(timeout_s):
            while (at := self.loud_after(after)) is None:
                await asyncio.sleep(0.01)
        return at

    async def silence(self, timeout_s: float = 15.0) -> None:
        """Until the bot has been quiet for a while."""
        async with asyncio.timeout(timeout_s):
            while asyncio.get_running_loop().time() - self.last_loud_before(1e12) < GAP_S:
                await asyncio.sleep(0.02)


async def talk(url: str) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    click = loop.time()
    async with WebRTCCaller(url) as caller:
        line = Line(caller)
        greeted = await line.sound(click)
        figures = {"click to first sound": greeted - click}
        await line.silence()
        question, ends_s = spoken("what_time_is_it")
        begin = loop.time()
        await caller.say(question, 16000)
        answered = await line.sound(begin + ends_s)
        figures["turn latency"] = answered - (begin + ends_s)
        await line.silence()
        figures |= await barge_in(line)
    return {name: value * 1000 for name, value in figures.items()}


async def barge_in(line: Line) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    counting, _ = spoken("count_to_twenty")
    begin = loop.time()
    await line.caller.say(counting, 16000)
    await line.sound(begin + len(counting) / 32000 - 0.2)
    await asyncio.sleep(1.0)
    question, _ = spoken("what_time_is_it")
    begin = loop.time()
    await line.caller.say(question, 16000)
    return {"stop latency": line.last_loud_before(begin + 1.0) - begin}


def start(port_line: re.Pattern[str]) -> tuple[subprocess.Popen[str], str, float]:
    begin = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI")}
    process = subprocess.Popen(
        [*BOTRUN, "bots/my_bot.py", "-t", "webrtc", "--port", "0", "--no-open"],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if found := port_line.search(line):
            return process, found[0], (time.monotonic() - begin) * 1000
    raise SystemExit("botrun did not start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        begin = time.monotonic()
        subprocess.run([*BOTRUN, "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        found.setdefault("botrun --help", []).append((time.monotonic() - begin) * 1000)
        process, url, ready_ms = start(re.compile(r"http://127\.0\.0\.1:\d+"))
        found.setdefault("command to ready", []).append(ready_ms)
        try:
            for name, value in asyncio.run(talk(url)).items():
                found.setdefault(name, []).append(value)
        finally:
            process.terminate()
            process.wait(5)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}; {rounds} rounds")
    for name, values in found.items():
        print(
            f"{name:22} median {statistics.median(values):6.0f} ms   {' '.join(f'{v:.0f}' for v in values)}"
        )


if __name__ == "__main__":
    main()
