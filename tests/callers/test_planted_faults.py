"""`botrun call` against bots with a planted fault, over a real socket: each is found, and only that one.

The bots are not botrun's, which does not make these faults: they write Twilio's messages themselves.
"""

from __future__ import annotations

import asyncio
import base64
import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from runner.audio.g711 import ulaw_decode, ulaw_encode
from runner.audio.resampler import Resampler
from runner.callers.call import CallRequest, make_call
from runner.callers.call_report import Report
from runner.callers.scenario.steps import HangUp, PlayWav, Scenario, Step, Wait, WaitForSilence
from runner.callers.sound.bot_sound import FRONT_LOADED_S
from runner.cli.call_view import _rows

pytestmark = pytest.mark.realtime

RATE, PTIME_S = 8000, 0.02
CHUNK = int(RATE * PTIME_S)
ASSETS = Path(__file__).parents[1] / "assets"


def speech(name: str) -> bytes:
    """A recording as µ-law, 8 kHz."""
    with wave.open(str(ASSETS / f"speech_{name}_16k.wav")) as file:
        resampler = Resampler(file.getframerate(), RATE)
        return ulaw_encode(resampler.process(file.readframes(file.getnframes())) + resampler.flush())


SPEECH = speech("book_a_table")


class Bot:
    """Speaks for itself once a call is answered, 20 ms each 20 ms."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._stream_id = ""
        self.caller_speaks = asyncio.Event()

    async def serve(self, speak: Callable[[Bot], Any]) -> None:
        speaking: asyncio.Task[None] | None = None
        async for text in self._socket:
            message = json.loads(text)
            if message["event"] == "start":
                self._stream_id = message["streamSid"]
                speaking = asyncio.create_task(speak(self))
            elif message["event"] == "media":
                pcm = ulaw_decode(base64.b64decode(message["media"]["payload"]))
                if np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() > 2000:
                    self.caller_speaks.set()
        if speaking is not None:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def send(self, payload: bytes) -> None:
        media = {"payload": base64.b64encode(payload).decode()}
        await self._socket.send(json.dumps({"event": "media", "streamSid": self._stream_id, "media": media}))

    async def say(self, payload: bytes, *, written: Callable[[bytes], bytes] = bytes, times: int = 1) -> None:
        """In time, a little ahead, as bots do."""
        loop = asyncio.get_running_loop()
        due = loop.time() - 0.1
        for at in range(0, len(payload), CHUNK):
            for _ in range(times):
                await self.send(written(payload[at : at + CHUNK]))
            due += PTIME_S
            await asyncio.sleep(max(0.0, due - loop.time()))


def loudest(payload: bytes) -> int:
    """The message in the middle of the loudest 100 ms."""
    levels = np.abs(np.frombuffer(ulaw_decode(payload), "<i2").astype(float))
    hundred = np.convolve(levels, np.ones(5 * CHUNK), "valid")
    return (int(hundred.argmax()) + 2 * CHUNK) // CHUNK * CHUNK


async def without_fault(bot: Bot) -> None:
    await bot.say(SPEECH)


def with_hole(seconds: float, *, as_silence: bool = False) -> Callable[[Bot], Any]:
    async def speak(bot: Bot) -> None:
        cut = loudest(SPEECH)
        if as_silence:
            await bot.say(SPEECH[:cut] + b"\xff" * int(seconds * RATE) + SPEECH[cut:])
            return
        await bot.say(SPEECH[:cut])
        await asyncio.sleep(seconds + 0.1)
        await bot.say(SPEECH[cut:])

    return speak


async def encoded_twice(bot: Bot) -> None:
    await bot.say(SPEECH, written=base64.b64encode)


async def pcm16_as_ulaw(bot: Bot) -> None:
    await bot.say(SPEECH, written=ulaw_decode)


async def each_message_twice(bot: Bot) -> None:
    await bot.say(SPEECH, times=2)


async def all_at_once(bot: Bot) -> None:
    for at in range(0, len(SPEECH), CHUNK):
        await bot.send(SPEECH[at : at + CHUNK])


async def a_large_message(bot: Bot) -> None:
    await bot.send(SPEECH[: 2 * RATE])


async def over_the_caller(bot: Bot) -> None:
    await bot.caller_speaks.wait()
    await asyncio.sleep(0.8)
    await bot.say(SPEECH)


@asynccontextmanager
async def serving(speak: Callable[[Bot], Any]) -> AsyncIterator[str]:
    def only_media(connection: ServerConnection, request: Request) -> Response | None:
        return None if request.path == "/ws" else connection.respond(404, "no events here\n")

    async with serve(
        lambda socket: Bot(socket).serve(speak), "127.0.0.1", 0, process_request=only_media
    ) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


async def report_of(speak: Callable[[Bot], Any], *steps: Step) -> Report:
    plan = Scenario(name="planted", steps=steps or (WaitForSilence(quiet_s=2.2, at_most_s=9), HangUp()))
    async with serving(speak) as url:
        return (await make_call(CallRequest(provider="twilio", url=url, scenario=plan))).report


def seen(report: Report) -> dict[str, bool]:
    """Which faults the report names."""
    rules = " ".join(report.violations)
    return {
        "hole": report.holes > 0,
        "base64 twice": "base64-encoded twice" in rules,
        "PCM16": "16-bit PCM" in rules,
        "sent twice": report.messages_twice > 0,
        "front-loaded": report.ahead_ms > 1000 * FRONT_LOADED_S,
        "talked over": report.talked_over > 0,
    }


LISTEN = ()
SPEAK = (PlayWav(path=ASSETS / "speech_can_you_hear_me_16k.wav"), Wait(seconds=3), HangUp())

PLANTED: dict[str, tuple[Callable[[Bot], Any], tuple[Step, ...], set[str], str]] = {
    "none": (without_fault, LISTEN, set(), "whole"),
    "hole of 0.35 s": (with_hole(0.35), LISTEN, {"hole"}, "1 hole ("),
    "hole of 0.6 s": (with_hole(0.6), LISTEN, {"hole"}, "1 hole ("),
    "hole of 1.7 s": (with_hole(1.7), LISTEN, {"hole"}, "1 hole ("),
    "hole sent as silence": (with_hole(0.6, as_silence=True), LISTEN, {"hole"}, "1 hole ("),
    "base64 twice": (encoded_twice, LISTEN, {"base64 twice"}, "encode it once"),
    "PCM16 as µ-law": (pcm16_as_ulaw, LISTEN, {"PCM16"}, "encode it as G.711"),
    "each message twice": (each_message_twice, LISTEN, {"sent twice"}, "messages sent twice"),
    "all at once": (all_at_once, LISTEN, {"front-loaded"}, "front-loaded by"),
    "two seconds in a message": (a_large_message, LISTEN, {"front-loaded"}, "front-loaded by"),
    "over the caller": (over_the_caller, SPEAK, {"talked over"}, "over the caller once"),
}
"""Of each: how the bot speaks, what the caller does, the faults, and a part of the sentence about them."""


@pytest.fixture(scope="module")
def reports() -> dict[str, Report | BaseException]:
    """What became of the call to each bot. Two are made at a time: each mostly waits."""
    two = asyncio.Semaphore(2)

    async def call(speak: Callable[[Bot], Any], steps: tuple[Step, ...]) -> Report:
        async with two:
            return await report_of(speak, *steps)

    async def calls() -> list[Report | BaseException]:
        await report_of(without_fault, HangUp())  # what the first call imports would delay the others
        made = (call(speak, steps) for speak, steps, _, _ in PLANTED.values())
        return await asyncio.gather(*made, return_exceptions=True)

    return dict(zip(PLANTED, asyncio.run(calls()), strict=True))


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_and_shown_and_no_other(
    fault: str, reports: dict[str, Report | BaseException]
) -> None:
    _, _, faults, shown = PLANTED[fault]
    report = reports[fault]
    assert isinstance(report, Report), report
    found = {name for name, is_seen in seen(report).items() if is_seen}
    # What is played of these is longer than it should be, so it waits, and its silences have hard edges.
    also = {"front-loaded", "hole"} if faults & {"sent twice", "base64 twice", "PCM16"} else set()
    assert found - also == faults, report
    assert any(shown in value for _, value in _rows(report)), list(_rows(report))
