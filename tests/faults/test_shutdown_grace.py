"""SIGTERM during calls: goodbyes are played out, bots hear of the end, providers are asked to hang up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from carrier_calls import post
from eventually import eventually
from provider_server import API, BEFORE, ProviderServer, provider_server
from public_world import Bot, World, call_fields, media_url, public_world, signed, wire
from run_process import Run, running
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from runner.callers.wires import BotMark, BotSound
from runner.frames import TTSAudioRawFrame, TTSStartedFrame, TTSStoppedFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.sessions.session import EndReason
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

GOODBYE_BOT = Path(__file__).parents[1] / "support" / "goodbye_bot.py"
SAYS_S = 3.0
PATIENCE_S = 60
"""A limit that no test reaches: longer than any test may take until it fails."""


@dataclass
class Phone:
    """A caller who hears the bot out, in real time."""

    name: str
    call_id: str
    events: list[str] = field(default_factory=list)
    heard_s: float = 0.0
    close: tuple[int, str] | None = None

    async def talk(self, socket: ClientConnection) -> None:
        phone = wire(self.name, self.call_id)
        for message in phone.opening():
            await socket.send(message)
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                for event in phone.receive(message):
                    if isinstance(event, BotSound):
                        self.heard_s += len(event.pcm) / 2 / phone.sample_rate
                    elif isinstance(event, BotMark):
                        if self.events != ["heard"]:
                            self.events.append("heard")
                        await socket.send(phone.mark_reached(event.name))
        assert socket.close_code is not None
        self.close = socket.close_code, str(socket.close_reason)
        self.events.append("closed")


# ------------------------------------------------------------------ one process


class Talker:
    """Says something of this length (s).

    `cleans_up`: whether it has a handler of the end, which returns once `clean` is set.
    """

    def __init__(self, phone: Phone, says_s: float, *, cleans_up: bool = True) -> None:
        self._phone, self._says_s, self._cleans_up = phone, says_s, cleans_up
        self.clean = asyncio.Event()

    async def __call__(self, args: Any) -> None:
        params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
        transport = FastAPIWebsocketTransport(args.websocket, params)
        task = PipelineTask(Pipeline([transport.input(), transport.output()]))

        @transport.event_handler("on_client_connected")
        async def begin(transport: Any, client: Any) -> None:
            sound = TTSAudioRawFrame(b"\1\1" * round(8000 * self._says_s), 8000)
            await task.queue_frames([TTSStartedFrame(), sound, TTSStoppedFrame()])

        if self._cleans_up:

            @transport.event_handler("on_client_disconnected")
            async def leave(transport: Any, client: Any) -> None:
                self._phone.events.append("left")
                await self.clean.wait()
                self._phone.events.append("cleaned up")
                await task.cancel()

        await PipelineRunner().run(task)


@contextlib.asynccontextmanager
async def speaking(phone: Phone, bot: Any) -> AsyncIterator[tuple[World, ProviderServer]]:
    """A call in which the bot has begun to speak."""
    async with provider_server() as server, public_world(Bot(bot)) as world:
        for provider in world.public_calls.providers.values():
            provider.rest._base = server.url + API[provider.name]
        server.calls[phone.call_id] = "talking"
        url = await world.answered(phone.name, phone.call_id)
        async with world.media(phone.name, url) as connection:
            talking = asyncio.create_task(phone.talk(connection))
            await eventually(lambda: phone.heard_s)
            yield world, server
            await talking


@pytest.mark.faults(20)
async def test_what_the_bot_is_saying_is_played_out_then_it_is_notified_of_the_end() -> None:
    phone = Phone("twilio", "CA1")
    talker = Talker(phone, SAYS_S)
    talker.clean.set()
    async with speaking(phone, talker) as (world, server):
        assert phone.heard_s < SAYS_S  # the fault: it stops in the middle of a sentence
        (session,) = world.host.sessions.active.values()
        await world.host.sessions.shut_down(6, grace_s=PATIENCE_S)
        await eventually(lambda: phone.close)
    assert phone.heard_s == pytest.approx(SAYS_S, abs=0.02)
    assert phone.events == ["heard", "left", "cleaned up", "closed"]
    assert phone.close == (1000, str(EndReason.SHUTDOWN))
    assert server.calls["CA1"] == "completed"
    assert [asked.method for asked in server.asked] == ["POST"]
    assert session.end_reason is EndReason.SHUTDOWN


@pytest.mark.faults(20)
@pytest.mark.parametrize("cleans_up", [True, False])
async def test_a_bot_that_talks_or_cleans_up_for_long_is_ended_in_time(*, cleans_up: bool) -> None:
    phone = Phone("plivo", "CA1")
    talker = Talker(phone, PATIENCE_S, cleans_up=cleans_up)
    async with speaking(phone, talker) as (world, server):
        await asyncio.wait_for(world.host.sessions.shut_down(6, grace_s=0.4), PATIENCE_S / 2)
        assert not world.host.sessions.active
    assert phone.heard_s < PATIENCE_S / 2
    ends = [event for event in phone.events if event != "heard"]
    assert ends == (["left", "closed"] if cleans_up else ["closed"])
    assert server.calls["CA1"] == "hangup"
    talker.clean.set()  # its task may outlive the call: it is the bot's own
    await eventually(lambda: not cleans_up or phone.events[-1] == "cleaned up")


@pytest.mark.faults(20)
async def test_meanwhile_new_callers_hear_that_it_is_busy() -> None:
    phone = Phone("twilio", "CA1")
    talker = Talker(phone, SAYS_S)
    talker.clean.set()
    async with speaking(phone, talker) as (world, _):
        ending = asyncio.create_task(world.host.sessions.shut_down(6, grace_s=PATIENCE_S))
        await asyncio.sleep(0)
        for name, word in (("twilio", "<Reject"), ("plivo", "<Hangup")):
            path = f"/{name}/answer"
            answer = await world.send(signed(name, path, call_fields(name, "CA2")))
            assert word in answer.text
        assert not ending.done()  # the first call is still being heard out
        await ending


@pytest.mark.faults(20)
async def test_without_a_grace_calls_end_at_once() -> None:
    phone = Phone("twilio", "CA1")
    async with speaking(phone, Talker(phone, PATIENCE_S)) as (world, server):
        await world.host.sessions.shut_down(6)
        assert not world.host.sessions.active
    assert phone.close == (1000, str(EndReason.SHUTDOWN))
    assert server.calls["CA1"] == "completed"


# ------------------------------------------------------------------ a run of several processes


CALLS = ("C1", "C2", "C3")


@contextlib.asynccontextmanager
async def run_of_calls(
    folder: Path, says_s: float, grace_s: float
) -> AsyncIterator[tuple[Run, ProviderServer, list[Phone]]]:
    """A run under a supervisor, with three calls in which the bot has begun to speak."""
    body = json.dumps({"says_s": says_s, "cleans_s": 0.1})
    settings = {"BOTRUN_SHUTDOWN_SECS": str(grace_s), "BOTRUN_MAX_CALLS_PER_CALLER": "0"}
    async with (
        provider_server() as server,
        running("twilio", server, folder, "--body", body, bot=GOODBYE_BOT, **settings) as run,
        asyncio.TaskGroup() as group,
    ):
        phones = [Phone("twilio", call_id) for call_id in CALLS]
        for phone in phones:
            server.calls[phone.call_id] = "talking"
            group.create_task(call(run, phone))
        await eventually(lambda: all(phone.heard_s for phone in phones), 20)
        yield run, server, phones


async def call(run: Run, phone: Phone) -> None:
    from public_world import socket_headers
    from websockets.asyncio.client import connect

    path = f"/{phone.name}/answer"
    request = signed(phone.name, path, call_fields(phone.name, phone.call_id), origin=run.origin)
    url = media_url(phone.name, (await post(run.origin, request)).text)
    headers = socket_headers(phone.name, url)
    async with connect(url, additional_headers=headers, proxy=None, compression=None) as connection:
        await phone.talk(connection)


@pytest.mark.faults(20)
@pytest.mark.parametrize("whole_group", [False, True], ids=["supervisor", "all processes"])
async def test_sigterm_lets_a_run_end_its_calls(tmp_path: Path, *, whole_group: bool) -> None:
    """`whole_group`: a service manager signals each process of the run."""
    async with run_of_calls(tmp_path, SAYS_S, PATIENCE_S) as (run, server, phones):
        assert all(phone.heard_s < SAYS_S for phone in phones)
        for process in run.family() if whole_group else ():
            os.kill(process.pid, signal.SIGTERM)
        run.process.send_signal(signal.SIGTERM)
        await run.ready("3 calls have up to")
        late = signed("twilio", "/twilio/answer", call_fields("twilio", "C4"), origin=run.origin)
        refused = await post(run.origin, late)
        status = await run.ended()
    assert status == 0, run.output
    assert "<Reject" in refused.text
    for phone in phones:
        assert phone.heard_s == pytest.approx(SAYS_S, abs=0.02)
        assert phone.close == (1000, str(EndReason.SHUTDOWN))
        assert (
            run.output.count(f"{phone.call_id} left") == run.output.count(f"{phone.call_id} cleaned up") == 1
        )
        hang_ups = [asked for asked in server.asked if f"/Calls/{phone.call_id}" in asked.path]
        assert [asked.status for asked in hang_ups] == [200]
        assert server.calls[phone.call_id] == "completed"
    assert server.address("twilio") == BEFORE
    assert "Traceback" not in run.output
    assert "shutdown timed out" not in run.output


@pytest.mark.faults(20)
async def test_a_second_signal_does_not_wait_for_the_goodbyes(tmp_path: Path) -> None:
    async with run_of_calls(tmp_path, PATIENCE_S, PATIENCE_S) as (run, _, phones):
        family = run.family()
        run.process.send_signal(signal.SIGTERM)
        await run.ready("3 calls have up to")
        assert await run.end(signal.SIGTERM) == 130
    assert all(phone.heard_s < PATIENCE_S / 2 for phone in phones)
    await eventually(lambda: not any(process.is_running() for process in family))
