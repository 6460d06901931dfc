"""Bots written for Pipecat, verbatim, on botrun's own engine: by phone, in a browser, in a Daily room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_daily import FakeDaily
from phone_bots import make_host, over_sockets, tone
from pipecat_bots import BOTS, load

from runner import DailyRunnerArguments
from runner.callers.webrtc import WebRTCCaller
from runner.cli.listen import address_of, open_listener
from runner.server.app import create_app
from runner.server.wire.uvicorn_server import Server
from runner.testing import Conversation
from runner.transports.daily import transport as daily_transport
from runner.vad import SileroVADAnalyzer

ROOM = "https://house.daily.co/room"
KEYS = ("DEEPGRAM_API_KEY", "CARTESIA_API_KEY", "OPENAI_API_KEY")


async def until(there: Callable[[], Any], secs: float = 10.0) -> None:
    async with asyncio.timeout(secs):
        while not there():
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ the specification's bot


async def test_the_specification_s_bot_answers_twilio() -> None:
    bot = load(BOTS / "three_transports.py")
    async with over_sockets(bot.function) as served, served.phone("twilio") as phone:
        utterance = phone.say(tone(0.3), 8000)
        assert await phone.until(lambda: utterance.done and phone.bot_has_spoken(), 10)
    assert phone.log.violations == []


async def test_the_specification_s_bot_answers_a_browser() -> None:
    bot = load(BOTS / "three_transports.py")
    host = make_host(bot.function, ("webrtc",))
    with open_listener("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{address_of(listener)[1]}"
        async with Server(create_app(host)).serving(listener, 0.3):
            async with WebRTCCaller(url) as caller:
                await caller.say(tone(1.0, 16000), 16000)
                await until(
                    lambda: np.abs(np.frombuffer(caller.pcm_heard(), "<i2").astype(int)).max(initial=0) > 1000
                )
            await host.sessions.shut_down(3)


async def test_the_specification_s_bot_joins_a_daily_room(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = load(BOTS / "three_transports.py")
    with FakeDaily() as daily:
        monkeypatch.setattr(daily_transport, "load_library", lambda: daily)
        running = asyncio.create_task(bot.function(DailyRunnerArguments(room_url=ROOM, token="its-token")))
        await until(lambda: daily.rooms.get(ROOM))
        (client,) = daily.clients
        assert (client.user_name, client.token) == ("Pipecat Bot", "its-token")
        daily.visit(ROOM, "ann").leave("leftCall")
        await asyncio.wait_for(running, 10)


# ------------------------------------------------------------------ newer names


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in KEYS:
        monkeypatch.setitem(os.environ, name, "a-key")
    return load(BOTS / "newer_names.py")


def test_a_newer_bot_greets_and_answers_and_hears_of_its_turns(newer: Any) -> None:
    it = Conversation("Hello there.", "It is ten.", bot=newer.function)

    async def script() -> None:
        await it.bot_says("hello there")
        await it.bot_is_silent()
        await it.caller.say("what time is it")
        await it.bot_says("it is ten")
        await it.bot_is_silent()

    it.run(script)
    assert newer.module.turns == [
        ("assistant", "Hello there.", False),
        ("user", "what time is it"),
        ("assistant", "It is ten.", False),
    ]
    assert isinstance(it.caller.params.vad_analyzer, SileroVADAnalyzer)
    assert it.caller.params.vad_analyzer.params.stop_secs == 0.2


def test_what_was_cut_off_is_reported_as_interrupted(newer: Any) -> None:
    it = Conversation("One two three four five six seven eight nine ten.", "Fine.", bot=newer.function)

    async def script() -> None:
        await it.bot_says("one two")
        await it.caller.say("stop it now please", 1.5)
        await it.bot_says("fine")
        await it.bot_is_silent()

    it.run(script)
    first, question, last = newer.module.turns
    assert first[1].startswith("One two")
    assert not first[1].endswith("ten.")
    assert (first[2], question[1], last) == (True, "stop it now please", ("assistant", "Fine.", False))
