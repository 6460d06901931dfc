"""A phone that is killed while the bot speaks: one disconnect, one hang-up at the provider, nothing left."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from provider_server import API, ProviderServer, provider_server
from public_world import Bot, World, public_world, wire

from runner.frames import OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport

PHONE = Path(__file__).parents[1] / "support" / "plain_phone.py"
TIMES = 100

pytestmark = pytest.mark.processes


class Speaker:
    """A bot that speaks for half a minute; counts what it hears of its callers' ends."""

    def __init__(self) -> None:
        self.disconnects = 0
        self.returned = 0

    async def __call__(self, args: Any) -> None:
        params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
        transport = FastAPIWebsocketTransport(args.websocket, params)
        task = PipelineTask(Pipeline([transport.input(), transport.output()]))

        @transport.event_handler("on_client_connected")
        async def begin(transport: Any, client: Any) -> None:
            await task.queue_frame(OutputAudioRawFrame(b"\1\1" * 8000 * 30, 8000))

        @transport.event_handler("on_client_disconnected")
        async def leave(transport: Any, client: Any) -> None:
            self.disconnects += 1
            await task.cancel()

        await PipelineRunner().run(task)
        self.returned += 1


def use(server: ProviderServer, world: World) -> None:
    for provider in world.public_calls.providers.values():
        provider.rest._base = server.url + API[provider.name]


async def ends_cleanly(bot: Speaker, server: ProviderServer, world: World, calls: int) -> None:
    await eventually(lambda: not world.host.sessions.active and bot.returned == calls)
    await eventually(lambda: len(server.asked) >= calls)
    assert bot.disconnects == calls
    assert len(server.asked) == calls


@pytest.mark.faults(10)
async def test_a_connection_that_is_reset_while_the_bot_speaks_ends_its_call_once() -> None:
    speaker = Speaker()
    async with (
        provider_server() as server,
        public_world(Bot(speaker), max_calls_per_caller=0, max_starts_per_min=0, max_public_calls=0) as world,
    ):
        use(server, world)
        for number in range(TIMES):
            call = f"CA{number}"
            server.calls[call] = "talking"
            url = await world.answered("twilio", call)
            async with world.media("twilio", url) as socket:
                for message in wire("twilio", call).opening():
                    await socket.send(message)
                await socket.recv()  # the bot speaks
                socket.transport.abort()
                await socket.wait_closed()
            assert socket.close_code == 1006  # the fault: no close frame from either side
        await ends_cleanly(speaker, server, world, TIMES)


@pytest.mark.faults(10)
async def test_a_phone_whose_process_is_killed_ends_its_call_once() -> None:
    speaker = Speaker()
    async with provider_server() as server, public_world(Bot(speaker)) as world:
        use(server, world)
        server.calls["CA0"] = "talking"
        phone = await start_phone(world.local(await world.answered("plivo", "CA0")), "plivo", "CA0", "60")
        assert phone.stdout is not None
        assert await phone.stdout.readline() == b"connected\n"
        assert b"bytes" in await phone.stdout.readline()
        phone.kill()
        assert await phone.wait() == -signal.SIGKILL
        await ends_cleanly(speaker, server, world, 1)


async def start_phone(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PHONE), *words, stdout=asyncio.subprocess.PIPE
    )
