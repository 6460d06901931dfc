"""Short calls on every transport beside a long one: memory, descriptors, tasks and threads per call.

    BOTRUN_SOAK_MINUTES=30 pytest -m soak --realtime -s tests/faults/test_soak.py

Prints its figures as JSON, and writes them to BOTRUN_SOAK_REPORT if set. By default it runs for 20 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eventually import eventually
from websockets.asyncio.client import ClientConnection, connect

from runner.callers.webrtc import WebRTCCaller
from runner.callers.wires import BotSound, wire_for

MINUTES = float(os.environ.get("BOTRUN_SOAK_MINUTES", "0.34"))
LONG = MINUTES >= 10
"""Shorter, the process still grows to its working size, and a slope says nothing."""

BOT = Path(__file__).parents[1] / "support" / "soak_bot.py"
PTIME_S = 0.02
QUIET, LOUD = b"\0\0" * 160, b"\x10\x27\xf0\xd8" * 80
MAX_BYTES_PER_CALL = 5_000

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.timeout(MINUTES * 60 + 120),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@dataclass
class Soak:
    """A bot's process and what became of the calls to it."""

    http: str
    log: Path
    ended: float
    calls: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    echo_ms: list[float] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ended

    def notes(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Soak]:
    log = folder / "soak.jsonl"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runner.cli", str(BOT), "-t", "webrtc", "-t", "twilio", "-t", "websocket"),
        *("--port", "0", "--no-reload"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SOAK_LOG": str(log)},
    )
    assert process.stdout is not None
    try:
        text = ""
        while not (found := re.search(r"http://[\w.]+:\d+", text)):
            line = await asyncio.wait_for(process.stdout.readline(), 40)
            assert line, text
            text += line.decode()
        drain = asyncio.create_task(process.stdout.read())
        yield Soak(found[0], log, time.monotonic() + MINUTES * 60)
    finally:
        process.terminate()
        await process.wait()
    assert b"Traceback" not in await drain


@contextlib.asynccontextmanager
async def listening(socket: ClientConnection) -> AsyncIterator[list[str | bytes]]:
    """What arrives is read all the time: a client that does not read does not see that it is closed."""
    heard: list[str | bytes] = []

    async def listen() -> None:
        async for message in socket:
            heard.append(message)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        await socket.close()
        await task


async def phone_call(soak: Soak) -> None:
    wire = wire_for("twilio", call_id=f"CA{time.monotonic_ns()}")
    async with (
        connect(soak.http.replace("http", "ws") + "/ws", compression=None, proxy=None) as socket,
        listening(socket) as heard,
    ):
        for message in wire.opening():
            await socket.send(message)
        for _ in range(50):
            await socket.send(wire.media(LOUD, time.time()))
            await asyncio.sleep(PTIME_S)
        assert heard, "the phone heard nothing"


async def plain_call(soak: Soak) -> None:
    async with (
        connect(soak.http.replace("http", "ws") + "/ws-client", proxy=None) as socket,
        listening(socket) as heard,
    ):
        for _ in range(50):
            await socket.send(LOUD * 2)
            await asyncio.sleep(PTIME_S)
        assert any(isinstance(message, bytes) for message in heard), "the client heard nothing"


async def webrtc_call(soak: Soak) -> None:
    async with WebRTCCaller(soak.http) as caller:
        await caller.say(LOUD * 50, 8000)
        await eventually(caller.pcm_heard, 10)


async def repeat(soak: Soak, name: str, call: Callable[[Soak], Awaitable[None]]) -> None:
    while not soak.is_over:
        try:
            await call(soak)
        except Exception as error:
            soak.failures.append(f"{name}: {error!r}")
        soak.calls[name] = soak.calls.get(name, 0) + 1


async def long_call(soak: Soak) -> None:
    """Beeps once a second for the whole time, and measures how long each takes to come back."""
    wire, sent_at = wire_for("twilio", call_id="CAlong"), [0.0]
    url, loop = soak.http.replace("http", "ws") + "/ws", asyncio.get_running_loop()

    def heard(message: str | bytes) -> None:
        for event in wire.receive(message):
            if (
                isinstance(event, BotSound)
                and sent_at[0]
                and np.abs(np.frombuffer(event.pcm, "<i2")).max() > 5000
            ):
                soak.echo_ms.append((loop.time() - sent_at[0]) * 1000)
                sent_at[0] = 0.0

    async def listen(socket: Any) -> None:
        async for message in socket:
            heard(message)

    async with connect(url, compression=None, proxy=None) as socket:
        for message in wire.opening():
            await socket.send(message)
        listening = asyncio.create_task(listen(socket))
        began, number = loop.time(), 0
        while not soak.is_over:
            beeps = number % 50 == 25
            if beeps:
                sent_at[0] = loop.time()
            await socket.send(wire.media(LOUD if beeps else QUIET, time.time()))
            number += 1
            await asyncio.sleep(max(0.0, began + number * PTIME_S - loop.time()))
        listening.cancel()
    soak.calls["long"] = 1


def bytes_per_call(notes: list[dict[str, int]]) -> float:
    """The slope of a line through the resident memory after each call."""
    slope, _ = np.polyfit([note["calls"] for note in notes], [note["rss"] for note in notes], 1)
    return float(slope)


@pytest.mark.soak(6)
@pytest.mark.faults(6)
@pytest.mark.faults(8)
async def test_calls_leave_nothing_behind_however_many_there_are(tmp_path: Path) -> None:
    async with running(tmp_path) as soak:
        await asyncio.gather(
            long_call(soak),
            repeat(soak, "phone", phone_call),
            repeat(soak, "plain", plain_call),
            repeat(soak, "webrtc", webrtc_call),
        )
        await eventually(lambda: len(soak.notes()) >= sum(soak.calls.values()) - len(soak.failures), 10)
        notes = soak.notes()
    settled = notes[len(notes) // 2 :]
    figures = {
        "minutes": MINUTES,
        "calls": soak.calls,
        "failures": soak.failures[:20],
        "rss_mb": [round(note["rss"] / 1e6, 1) for note in (notes[0], settled[0], notes[-1])],
        "bytes_per_call": round(bytes_per_call(settled)),
        "fds": [min(note["fds"] for note in settled), notes[-1]["fds"]],
        "threads": [settled[0]["threads"], notes[-1]["threads"]],
        "tasks": [min(note["tasks"] for note in settled), notes[-1]["tasks"]],
        "long_call_echo_ms": [
            round(statistics.median(part), 1) for part in (soak.echo_ms[:60], soak.echo_ms[-60:]) if part
        ],
    }
    print("\nsoak: " + json.dumps(figures))
    if path := os.environ.get("BOTRUN_SOAK_REPORT"):
        Path(path).write_text(json.dumps({"figures": figures, "notes": notes}, indent=1))
    assert soak.failures == []
    assert all(soak.calls[name] > 0 for name in ("phone", "plain", "webrtc", "long"))
    assert len(soak.echo_ms) > MINUTES * 60 / 2
    # After the last call nothing of any is left; while they run, three overlap.
    assert notes[-1]["fds"] <= min(note["fds"] for note in settled) + 2
    assert notes[-1]["threads"] <= settled[0]["threads"]
    assert notes[-1]["tasks"] <= min(note["tasks"] for note in settled)
    if LONG:
        assert bytes_per_call(settled) < MAX_BYTES_PER_CALL
