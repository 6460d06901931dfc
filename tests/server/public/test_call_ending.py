"""How calls end at their provider: hung up once, handed over after the last word, or left alone."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest
from eventually import eventually
from provider_server import API, ProviderServer, provider_server
from public_world import (
    KEYS,
    Bot,
    World,
    call_fields,
    make_host,
    public_world,
    signed,
    wire,
)
from websockets.asyncio.client import connect

import runner.transports.websocket as websocket_module
from runner.callers.wires import BotMark, BotSound, Wire
from runner.frames import EndFrame, OutputAudioRawFrame, TransferCallFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.providers import provider_named, rest
from runner.serializers.telephony import SerializerParams
from runner.serializers.twilio import TwilioFrameSerializer
from runner.server.app import create_app
from runner.server.public import endpoints as public_endpoints
from runner.server.wire.uvicorn_server import Server
from runner.sessions.session import EndReason
from runner.settings import Settings
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport

REST = ("twilio", "telnyx", "plivo")
SECOND_S = 0.5


async def speak_and(args: Any, last: Any, **params: Any) -> None:
    """A bot that says half a second, and then what `last` says."""
    transport = FastAPIWebsocketTransport(
        args.websocket, FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, **params)
    )
    task = PipelineTask(Pipeline([transport.input(), transport.output()]))

    @transport.event_handler("on_client_connected")
    async def begin(transport: Any, client: Any) -> None:
        await task.queue_frames([OutputAudioRawFrame(b"\1\1" * int(8000 * SECOND_S), 8000), last])

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: Any, client: Any) -> None:
        await task.cancel()

    await PipelineRunner().run(task)


async def ring(world: World, server: ProviderServer, name: str, call_id: str = "C1") -> float:
    """Ring, play what comes and answer marks at once; returns how long (s) the bot was heard."""
    for provider in world.public_calls.providers.values():
        provider.rest._base = server.url + API[provider.name]
    server.calls[call_id] = "talking"
    url = await world.answered(name, call_id)
    phone = wire(name, call_id)
    heard_s = 0.0
    async with world.media(name, url) as socket:
        for message in phone.opening():
            await socket.send(message)
        async for message in socket:
            heard_s += await _play(phone, socket, message)
    await eventually(lambda: not world.host.sessions.active)
    return heard_s


async def _play(phone: Wire, socket: Any, message: str | bytes) -> float:
    heard_s = 0.0
    for event in phone.receive(message):
        if isinstance(event, BotSound):
            heard_s += len(event.pcm) / 2 / phone.sample_rate
        elif isinstance(event, BotMark):
            await socket.send(phone.mark_reached(event.name))
    return heard_s


@pytest.mark.parametrize("name", REST)
async def test_when_the_bot_is_done_its_call_is_hung_up_once(name: str) -> None:
    async with provider_server() as server, public_world(Bot(lambda a: speak_and(a, EndFrame()))) as world:
        assert await ring(world, server, name) >= SECOND_S
        assert server.calls["C1"] in ("completed", "hangup")
        assert len(server.asked) == 1


@pytest.mark.parametrize("name", REST)
async def test_a_transfer_comes_after_the_last_word_and_nobody_hangs_up(name: str) -> None:
    last = TransferCallFrame(to="+1 (415) 000-0009")
    async with provider_server() as server, public_world(Bot(lambda a: speak_and(a, last))) as world:
        assert await ring(world, server, name) >= SECOND_S
        assert server.calls["C1"] in ("transferred", "transfer")
        assert len(server.asked) == 1
        result = server.asked[0].fields
        if name == "plivo":
            path = result["aleg_url"].removeprefix(world.public_calls.origin)
            document = await world.send(signed("plivo", path, {"CallUUID": "C1"}))
            assert "<Number>+14150000009</Number>" in document.text
            assert (await world.send(signed("plivo", path, {"CallUUID": "C1"}))).status_code == 404
        else:
            assert "+14150000009" in str(result)


async def test_exotel_is_handed_on_by_closing_its_socket() -> None:
    last = TransferCallFrame(to="+14150000009")
    async with provider_server() as server, public_world(Bot(lambda a: speak_and(a, last))) as world:
        assert await ring(world, server, "exotel") >= SECOND_S
        assert server.asked == []


@pytest.mark.parametrize(("to", "faults"), [("+14150000009", ["403"]), ("no number", [])])
async def test_a_failed_transfer_is_reported_and_the_call_goes_on(
    to: str, faults: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")  # which has the reason of the end
    async with (
        provider_server() as server,
        public_world(Bot(lambda a: speak_and(a, TransferCallFrame(to=to))), max_public_call_secs=2) as world,
    ):
        server.faults.extend(faults)
        await ring(world, server, "twilio")
        assert server.calls["C1"] == "completed"
    _, _, later = caplog.text.partition("Could not transfer the caller")
    assert EndReason.TOO_LONG in later


async def test_auto_hang_up_false_leaves_the_call_to_the_bot_s_next_step() -> None:
    async def then(args: Any) -> None:
        mine = TwilioFrameSerializer(
            args.stream_id, args.call_id, params=SerializerParams(auto_hang_up=False)
        )
        await speak_and(args, EndFrame(), serializer=mine)

    async with provider_server() as server, public_world(Bot(then)) as world:
        await ring(world, server, "twilio")
        assert (server.asked, server.calls["C1"]) == ([], "talking")


async def test_a_bot_s_own_credentials_hang_up_at_its_own_account() -> None:
    async def then(args: Any) -> None:
        mine = TwilioFrameSerializer(args.stream_id, args.call_id, "AC-other", "other-token")
        await speak_and(args, EndFrame(), serializer=mine)

    async with provider_server() as server, public_world(Bot(then), api=server.url) as world:
        await ring(world, server, "twilio")
        assert "/Accounts/AC-other/Calls/C1.json" in server.asked[0].path


@pytest.mark.parametrize("fault", ["hang", "500", "429", "garbage"])
@pytest.mark.faults(21)
async def test_no_session_is_held_longer_than_five_seconds_by_its_provider(
    fault: str, request: pytest.FixtureRequest
) -> None:
    if fault == "hang":
        request.getfixturevalue("short_deadlines")
    async with provider_server() as server, public_world(Bot(lambda a: speak_and(a, EndFrame()))) as world:
        server.faults.extend([fault] * 10)
        async with asyncio.timeout(30):
            await ring(world, server, "plivo")  # returns when the session is gone
        tries = rest.TRIES - (fault == "hang")  # the deadline comes before the last
        assert 10 - len(server.faults) <= tries
    assert rest.DEADLINE_S < 5


async def test_a_caller_who_leaves_first_is_hung_up_too_and_already_gone_is_fine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with provider_server() as server, public_world(Bot()) as world:
        for provider in world.public_calls.providers.values():
            provider.rest._base = server.url + API[provider.name]
        url = await world.answered("twilio", "C9")
        phone = wire("twilio", "C9")
        async with world.media("twilio", url) as socket:
            for message in [*phone.opening(), phone.stop()]:
                await socket.send(str(message))
        await eventually(lambda: not world.host.sessions.active and server.asked)
        assert [asked.status for asked in server.asked] == [404]
    assert "hanging up failed" not in caplog.text


async def test_the_bot_s_failure_is_not_shown_to_the_provider() -> None:
    async def fails(args: Any) -> None:
        raise ValueError(f"secret {KEYS['TWILIO_AUTH_TOKEN']}")

    async with provider_server() as server, public_world(Bot(fails)) as world:
        for provider in world.public_calls.providers.values():
            provider.rest._base = server.url + API[provider.name]
        url = await world.answered("twilio", "C1")
        async with world.media("twilio", url) as socket:
            for message in wire("twilio", "C1").opening():
                await socket.send(message)
            await asyncio.wait_for(socket.wait_closed(), 5)
            assert (socket.close_code, socket.close_reason) == (1011, "the bot failed")


def test_what_hangs_up_knows_the_serializers_names_of_credentials() -> None:
    from runner.server.public.endpoints import KEYS_OF

    for name, names in KEYS_OF.items():
        assert set(names.values()) <= set(provider_named(name, {}).rest_keys)


async def test_on_this_machine_a_transfer_ends_the_call_and_asks_no_provider(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bot = Bot(lambda a: speak_and(a, TransferCallFrame(to="+14150000009")))
    host = make_host(bot, Settings())
    phone = wire("twilio", "C1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
        async with Server(create_app(host)).serving(listener, 0.3), connect(url, proxy=None) as line:
            for message in phone.opening():
                await line.send(message)
            heard_s = sum([await _play(phone, line, message) async for message in line])
            await eventually(lambda: not host.sessions.active)
    assert heard_s >= SECOND_S
    assert "a provider would transfer the caller to +14150000009" in caplog.text


@pytest.mark.parametrize("opening", [["{}", "garbage"], []])
async def test_a_call_whose_socket_says_nothing_right_is_hung_up(
    opening: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_module.read_handshake, "__defaults__", (0.1,))
    monkeypatch.setattr(public_endpoints, "GIVE_UP_S", 0.1)
    bot = Bot()
    async with provider_server() as server, public_world(bot) as world:
        for provider in world.public_calls.providers.values():
            provider.rest._base = server.url + API[provider.name]
        server.calls["C1"] = "talking"
        url = await world.answered("plivo", "C1")
        async with world.media("plivo", url) as line:
            for message in opening:
                await line.send(message)
            await eventually(lambda: server.calls["C1"] == "hangup")
        assert not world.ledger.limits._open
    assert bot.args == []


async def test_a_caller_beyond_the_run_s_own_limit_hears_that_it_is_busy() -> None:
    bot = Bot()
    async with public_world(bot, max_sessions=1) as world:
        url = await world.answered("plivo", "C1")
        async with world.media("plivo", url) as line:
            for message in wire("plivo", "C1").opening():
                await line.send(message)
            await bot.started.wait()
            busy = await world.send(signed("twilio", "/twilio/answer", call_fields("twilio", "C2")))
            assert 'reason="busy"' in busy.text


async def test_a_transfer_waits_for_the_mark_of_the_last_word() -> None:
    last = TransferCallFrame(to="+14150000009")
    bot = Bot(lambda a: speak_and(a, last))
    phone, order = wire("twilio", "C1"), []
    async with provider_server() as server, public_world(bot, api=server.url) as world:
        server.calls["C1"] = "talking"
        url = await world.answered("twilio", "C1")
        async with world.media("twilio", url) as line:
            for message in phone.opening():
                await line.send(message)
            async for message in line:
                for event in phone.receive(message):
                    if isinstance(event, BotMark):
                        await asyncio.sleep(0.3)
                        order.append(f"mark, {len(server.asked)} asked")
                        await line.send(phone.mark_reached(event.name))
        await eventually(lambda: server.calls["C1"] == "transferred")
    assert order
    assert set(order) == {"mark, 0 asked"}
