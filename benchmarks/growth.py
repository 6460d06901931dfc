#!/usr/bin/env python3
"""What grows with what: straight lines, or the reason why not.

    .venv/bin/python benchmarks/growth.py [calls] [chain] [minutes] [turns] [--draw benchmarks]

* calls: CPU of `bots/echo_bot.py` over Twilio's wire against the number of calls (`botrun load`)
* chain: CPU per frame against the number of pass-through processors, in this process
* minutes: memory of one call against its length, in virtual time
* turns: memory of one call against the turns of its conversation, in virtual time

Prints the points and a straight-line fit of each; `--draw` writes `growth-*.html` into a folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from runner.botcode.loader import load_bot, parse_target
from runner.callers.call import new_wire
from runner.callers.load.chart import GREY, Chart, Series
from runner.callers.load.probe import probe_sound
from runner.callers.memory_socket import MemorySocket, dial
from runner.frames import Frame, FrameDirection, InputAudioRawFrame, StartFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.server.app import create_app
from runner.server.host import Host
from runner.services.llm import LLMService
from runner.sessions.registry import Sessions
from runner.sessions.session import EndReason
from runner.settings import Settings
from runner.testing import FakeTransport, ScriptedTTS, run_virtual

ROOT = Path(__file__).parent.parent
ECHO = ROOT / "bots" / "echo_bot.py"
PTIME_S = 0.02

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Growth:
    """How `unit` grows with `of`."""

    name: str
    of: str
    unit: str
    points: Points

    def fit(self) -> tuple[float, float, float]:
        """Slope, offset, and the share of the variance that the straight line explains."""
        x, y = np.array(self.points).T
        slope, offset = np.polyfit(x, y, 1)
        rest, all_of_it = np.sum((y - slope * x - offset) ** 2), np.sum((y - y.mean()) ** 2)
        return float(slope), float(offset), float(1 - rest / all_of_it) if all_of_it else 1.0

    def __str__(self) -> str:
        slope, offset, explained = self.fit()
        told = ", ".join(f"{x:g}: {y:.4g}" for x, y in self.points)
        line = f"{slope:.4g} {self.unit} for one more, {offset:.4g} for none, R² {explained:.4f}"
        return f"{self.name}, {self.unit} against {self.of}: {line}\n    {told}"

    def draw(self, folder: Path) -> None:
        """The points and the line."""
        slope, offset, explained = self.fit()
        points = sorted(self.points)
        x, y = [at for at, _ in points], [value for _, value in points]
        fit = Series(
            name=f"{slope:.3g} for one more, R² {explained:.3f}",
            values=[offset + slope * at for at in x],
            colour=GREY,
            dashed=True,
        )
        chart = Chart(
            title=f"{self.unit} against {self.of}",
            x=x,
            series=[Series(name=self.unit, values=y, dots=True), fit],
            x_label=self.of,
            y_label=self.unit,
        )
        chart.save(folder / f"growth-{self.name}.html")


# ------------------------------------------------------------------ calls


def calls(sizes: tuple[int, ...] = (5, 10, 25, 50, 100), seconds: float = 8) -> Growth:
    """CPU of the whole server, ms a second."""
    points: Points = []
    for size in sizes:
        command = [sys.executable, "-P", "-m", "runner.cli", "load", str(ECHO), "-n", str(size), "--json"]
        done = subprocess.run(
            [*command, "--duration", str(seconds), "--ramp", str(max(1, size / 40))],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        found = json.loads(done.stdout)
        points.append((size, 1000 * found["server"]["cpu_cores"]))
        print(
            f"  {size} calls: {points[-1][1]:.0f} ms a second, other cores {found['other_cores']}", flush=True
        )
    return Growth("calls", "calls", "ms of CPU a second", points)


# ------------------------------------------------------------------ chain


class Pass(FrameProcessor):
    """What a processor that has nothing to do does."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)


class Begun(FrameProcessor):
    """Tells that the pipeline has started."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, StartFrame):
            self.event.set()


def chain(lengths: tuple[int, ...] = (1, 2, 5, 10, 20, 40), frames: int = 20000, rounds: int = 5) -> Growth:
    """CPU of one 20 ms frame through the pipeline, µs: the least of several rounds."""
    points: Points = [(length, asyncio.run(_chain(length, frames, rounds))) for length in lengths]
    return Growth("chain", "pass-through processors", "µs of CPU a frame", points)


async def _chain(length: int, frames: int, rounds: int) -> float:
    first, begun = Pass(), Begun()
    task = PipelineTask(Pipeline([first, *(Pass() for _ in range(length - 1)), begun]))
    running = asyncio.create_task(PipelineRunner().run(task))
    await begun.event.wait()
    frame, least = InputAudioRawFrame(bytes(320), 8000), float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(frames):
            await first.receive(frame, FrameDirection.DOWNSTREAM)
        least = min(least, (time.process_time() - start) / frames)
        await asyncio.sleep(0)
    await task.cancel()
    await running
    return 1e6 * least


# ------------------------------------------------------------------ memory


class Traced:
    """Memory (kB) that Python has given out since the beginning."""

    def __init__(self) -> None:
        gc.collect()
        tracemalloc.start()
        self._begin = tracemalloc.get_traced_memory()[0]

    def kilobytes(self) -> float:
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - self._begin) / 1000


def minutes(most: int = 10) -> Growth:
    """One call that echoes for so many minutes; the first is left out, for in it everything is made."""
    try:
        return Growth("minutes", "minutes of the call", "kB", run_virtual(_minutes(most), 60.0 * most + 600))
    finally:
        tracemalloc.stop()


async def _minutes(most: int) -> Points:
    bot = load_bot(parse_target(str(ECHO)))
    host = Host(Settings(), bot, Sessions(bot), ("twilio",))
    wire, probe = new_wire("twilio"), probe_sound(1, 8000)
    socket = await dial(create_app(host))("ws://127.0.0.1:7860/ws")
    draining = asyncio.create_task(_drain(socket))
    for opening in wire.opening():
        await socket.send(opening)
    points: Points = []
    memory, pieces = Traced(), round(60 / PTIME_S)
    for minute in range(most + 1):
        for index in range(pieces):
            await socket.send(wire.media(probe.piece(minute * pieces + index, 160)))
            await asyncio.sleep(PTIME_S)
        if minute:
            points.append((minute, memory.kilobytes()))
    await socket.close()
    await draining
    await host.sessions.end_all(EndReason.SHUTDOWN, 3)
    return points


async def _drain(socket: MemorySocket) -> None:
    async for _ in socket:
        pass


class Brief(LLMService):
    """Answers the same, and remembers nothing."""

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        await asyncio.sleep(0.1)
        yield "It is a quarter past ten in the evening."


def turns(most: int = 400, step: int = 50) -> Growth:
    """One conversation of so many turns."""
    try:
        return Growth(
            "turns", "turns of the conversation", "kB", run_virtual(_turns(most, step), 30.0 * most)
        )
    finally:
        tracemalloc.stop()


async def _turns(most: int, step: int) -> Points:
    transport, context = FakeTransport(), LLMContext()
    transport.listener.sent, transport.listener.messages = deque(maxlen=1), deque(maxlen=1)  # type: ignore[assignment]
    memory_of = LLMContextAggregatorPair(context)
    parts = [transport.input(), memory_of.user(), Brief(), ScriptedTTS(word_s=0.1)]
    task = PipelineTask(Pipeline([*parts, transport.output(), memory_of.assistant()]))
    running = asyncio.create_task(PipelineRunner().run(task))
    await asyncio.sleep(0.1)
    points: Points = []
    traced: Traced | None = None
    for turn in range(1, most + step + 1):
        await transport.caller.say(f"What time is it, for the {turn}th time?", 0.5)
        await asyncio.sleep(3)
        if turn == step:
            traced = Traced()
        elif traced is not None and turn % step == 0:
            points.append((turn - step, traced.kilobytes()))
    await task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert len(context.messages) >= most
    return points


ALL: dict[str, Callable[[], Growth]] = {"calls": calls, "chain": chain, "minutes": minutes, "turns": turns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="*", metavar="|".join(ALL), help="all of them by default")
    parser.add_argument("--draw", type=Path, help="the folder for growth-*.html")
    asked = parser.parse_args()
    for name in asked.which or ALL:
        growth = ALL[name]()
        print(growth, flush=True)
        if asked.draw:
            growth.draw(asked.draw)


if __name__ == "__main__":
    main()
