"""Lines that fall silent, one way or both, and some that come back (RELIABILITY tests 12, 13, 15 and 18).

In virtual time. That a killed client is noticed, and a WebRTC network without a word, is seen over real
networks in `test_phone_storms.py` and `tests/transports/webrtc/test_webrtc_bad_network.py`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from eventually import eventually
from phone_bots import PHONES, CountedBot, Served, in_memory, tone
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from runner.callers.memory_socket import MemorySocket
from runner.callers.phone import Phone
from runner.cli.listen import address_of, open_listener
from runner.server.app import create_app
from runner.server.wire.uvicorn_server import Server
from runner.testing import run_virtual
from runner.transports.websocket.socket import direct_of

LONG = " ".join(["word"] * 200)
"""50 s of speech."""

NOTICED_S = 16.5
"""Within 15 s, and looked for once a second."""


class BadLine(MemorySocket):
    """A line that can be cut, each way, without a word to either end: what is sent meanwhile comes when it is
    mended, as TCP brings it. Stalled, it takes nothing from the bot, which has to wait with what it sends."""

    def __init__(self, app: Any, url: str) -> None:
        super().__init__(app, url)
        self._cut: set[str] = set()
        self._kept: list[tuple[Callable[[Any], Awaitable[None]], Any]] = []
        self._takes = asyncio.Event()
        self._takes.set()

    def cut(self, *ways: str) -> None:
        self._cut |= set(ways)

    def stall(self) -> None:
        self._takes.clear()

    async def mend(self) -> None:
        self._takes.set()
        self._cut.clear()
        kept, self._kept = self._kept, []
        for carry, message in kept:
            await carry(message)

    async def send(self, message: str | bytes) -> None:
        if "to bot" in self._cut:
            self._kept.append((super().send, message))
        else:
            await super().send(message)

    async def _from_app(self, message: Any) -> None:
        await self._takes.wait()
        if "from bot" in self._cut:
            self._kept.append((super()._from_app, message))
        else:
            await super()._from_app(message)


Script = Callable[[Phone, BadLine, Served], Awaitable[None]]


def call(bot: CountedBot, script: Script, provider: str = "twilio") -> Phone:
    """One call over a bad line."""

    async def run() -> Phone:
        lines: list[BadLine] = []
        async with in_memory(bot) as served:

            async def connect(url: str) -> BadLine:
                lines.append(BadLine(create_app(served.host), url))
                await lines[-1].open()
                return lines[-1]

            served.connect = connect
            async with served.phone(provider) as phone:
                await phone.until(phone.bot_has_spoken, 5)
                await script(phone, lines[0], served)
                await lines[0].mend()
        return phone

    return run_virtual(run(), 120)


async def ends_within(served: Served, limit_s: float) -> float:
    """How long (s) the only call under way goes on."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await eventually(lambda: not served.host.sessions.active, limit_s)
    return loop.time() - began


@pytest.mark.long
@pytest.mark.parametrize("provider", PHONES)
@pytest.mark.parametrize("ways", [("to bot", "from bot"), ("to bot",)], ids=["half open", "one-way"])
@pytest.mark.faults(12)
def test_a_caller_who_sends_nothing_for_15_s_is_disconnected(
    ways: tuple[str, ...], provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "runner.sessions.session")
    bot = CountedBot(greeting=LONG)
    took: list[float] = []

    async def script(phone: Phone, line: BadLine, served: Served) -> None:
        line.cut(*ways)
        took.append(await ends_within(served, NOTICED_S))

    phone = call(bot, script, provider)
    assert took[0] >= 14
    assert phone.ended_by == "bot"
    if "from bot" not in ways:
        assert phone.close == (1011, f"no message from {provider} for 15 s")
    assert caplog.messages.count(f"botrun ends the call: no message from {provider} for 15 s") == 1
    assert any(f"the connection was lost (no message from {provider}" in line for line in caplog.messages)
    assert len(bot.args) == 1


@pytest.mark.parametrize("provider", PHONES)
@pytest.mark.faults(13)
def test_five_seconds_without_a_word_are_survived(provider: str) -> None:
    bot = CountedBot(greeting="one two.", replies=("three four five.", "six."))
    answered: list[float] = []

    async def script(phone: Phone, line: BadLine, served: Served) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2)
        line.cut("to bot", "from bot")
        await asyncio.sleep(5)
        await line.mend()
        began = loop.time()
        utterance = phone.say(tone(0.6), 8000, "words")
        assert await phone.until(lambda: utterance.done, 5)
        assert await phone.until(lambda: phone.speech.spans and len(phone.speech.spans) >= 2, 5)
        answered.append(loop.time() - began)
        assert len(served.host.sessions.active) == 1
        await phone.until(lambda: phone.bot_quiet_s() > 0.5, 5)

    phone = call(bot, script, provider)
    assert answered[0] < 0.6 + 1.0
    assert phone.ended_by == "caller"
    assert phone.log.violations == []
    said = [message["content"] for message in bot.context.messages]
    assert said == ["one two.", "words", "three four five."]


@pytest.mark.faults(18)
def test_a_peer_that_takes_no_more_sound_is_disconnected() -> None:
    bot = CountedBot(greeting=LONG)
    took: list[float] = []

    async def script(phone: Phone, line: BadLine, served: Served) -> None:
        line.stall()
        took.append(await ends_within(served, 9))

    call(bot, script)
    assert took[0] >= 5


@pytest.mark.faults(18)
def test_of_a_stalled_line_no_other_call_hears_anything() -> None:
    bots = [CountedBot(greeting=LONG), CountedBot(greeting="one two three four.")]
    seen: list[Any] = []

    async def route(args: Any) -> None:
        seen.append(args)
        await bots[len(seen) - 1](args)

    async def run() -> Phone:
        async with in_memory(route) as served:
            line = await BadLine(create_app(served.host), served.url).open()
            assert isinstance(line, BadLine)
            for message in served.phone("twilio").wire.opening():
                await line.send(message)
            await asyncio.sleep(0.5)
            line.stall()
            async with served.phone("twilio") as other:
                await other.until(lambda: other.bot_quiet_s() > 0.5 and other.bot_has_spoken(), 10)
            await line.mend()
            await line.close()
        return other

    other = run_virtual(run(), 60)
    assert other.playout.underruns == []
    assert other.speech.spans[0].duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.faults(18)
async def test_what_waits_for_a_peer_that_does_not_read_is_bounded_and_leaves_when_it_reads() -> None:
    sound, posted, full, over = b"s" * 1000, [0], asyncio.Event(), asyncio.Event()

    async def pour(websocket: WebSocket) -> None:
        await websocket.accept()
        direct = direct_of(websocket)
        assert direct is not None
        while direct.try_send(lambda: sound):
            posted[0] += 1
        full.set()
        await websocket.send_bytes(b"the end")
        over.set()

    with open_listener("127.0.0.1", 0) as listener, socket.socket() as near:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        app = Starlette(routes=[WebSocketRoute("/ws", pour)])
        async with Server(app).serving(listener, 0.3):
            near.connect(address_of(listener)[:2])
            url = f"ws://127.0.0.1:{address_of(listener)[1]}/ws"
            async with connect(url, sock=near, compression=None, proxy=None, max_queue=1) as client:
                await asyncio.wait_for(full.wait(), 10)
                assert not over.is_set()
                assert posted[0] < 200
                for _ in range(posted[0]):
                    assert await asyncio.wait_for(client.recv(), 10) == sound
                assert await asyncio.wait_for(client.recv(), 10) == b"the end"
            assert over.is_set()
