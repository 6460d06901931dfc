"""A phone rings a Daily number: Daily's webhook on the public door, signed, until the caller is connected."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from daily_server import DOMAIN, KEY, DailyServer, daily_server
from eventually import eventually
from fake_daily import FakeDaily

from runner import RunnerArguments, create_transport
from runner.botcode.loader import LoadedBot
from runner.pipeline import Pipeline, PipelineTask
from runner.providers import rest
from runner.server.daily import rooms as daily_rooms
from runner.server.daily.rooms import DailyRooms
from runner.server.endpoints.media_socket import MediaSocketEndpoint
from runner.server.host import Host
from runner.server.public.address import PublicAddress
from runner.server.public.endpoints import create_public_app
from runner.server.public.ledger import Ledger
from runner.server.public.ledger_client import LocalLedgerClient
from runner.server.public.pinless import PATHS, PinlessEndpoint
from runner.server.public.public_calls import PublicCalls
from runner.server.wire.uvicorn_server import Server
from runner.sessions.registry import Sessions
from runner.sessions.session import EndReason
from runner.settings import Settings
from runner.transports.daily import transport as transport_module
from runner.transports.params import TransportParams

SECRET = base64.b64encode(b"a secret of the number").decode()
CALL = {"From": "+14150000001", "To": "+14150000002", "callId": "c1", "callDomain": "d1", "sipHeaders": {}}


async def bot(args: RunnerArguments) -> None:
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = await create_transport(args, {"daily": lambda: params})
    await PipelineTask(Pipeline([transport.input(), transport.output()])).run()


@dataclass
class Line:
    """The public side, and Daily's number before it."""

    host: Host
    url: str
    server: DailyServer
    daily: FakeDaily

    async def ring(self, fields: dict[str, Any] = CALL, *, path: str = PATHS[0], secret: str = SECRET) -> int:
        body, stamp = json.dumps(fields).encode(), str(int(time.time()))
        raw = hmac.digest(base64.b64decode(secret), stamp.encode() + b"." + body, hashlib.sha256)
        signed = {"x-pinless-timestamp": stamp, "x-pinless-signature": base64.b64encode(raw).decode()}
        return await self.post(body, path, signed)

    async def post(self, body: bytes, path: str = PATHS[0], headers: dict[str, str] | None = None) -> int:
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:
            return (await http.post(self.url + path, content=body, headers=headers or {})).status_code

    @property
    def calls(self) -> list[Any]:
        return list(self.host.sessions.active.values())


@contextlib.asynccontextmanager
async def line(daily: FakeDaily, server: DailyServer, **more: Any) -> AsyncIterator[Line]:
    settings = Settings(transports=("daily",), proxy="https://bot.example.com", **more)
    loaded = LoadedBot(Path(__file__), "bot", bot, sys.modules[__name__])
    host = Host(settings, loaded, Sessions(loaded), ("daily",))
    host.rooms = DailyRooms(host)
    address, ledger_client = PublicAddress.at("https://bot.example.com"), LocalLedgerClient(Ledger(settings))
    public_calls = PublicCalls(settings, address, {}, ledger_client)
    app = create_public_app(
        public_calls, MediaSocketEndpoint(host), PinlessEndpoint(public_calls, host.rooms)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Server(app).serving(listener, 0.2):
            try:
                yield Line(host, f"http://127.0.0.1:{listener.getsockname()[1]}", server, daily)
            finally:
                await host.sessions.shut_down(5.0)
                await host.rooms.aclose()


@pytest.fixture
async def server() -> AsyncIterator[DailyServer]:
    async with daily_server() as server:
        yield server


@pytest.fixture
def daily(server: DailyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDaily]:
    for name in ("DAILY_ROOM_URL", "DAILY_SAMPLE_ROOM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAILY_API_KEY", KEY)
    monkeypatch.setenv("DAILY_API_URL", server.url)
    monkeypatch.setenv("DAILY_DIALIN_SECRET", SECRET)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(rest, "PAUSE_S", 0.001)
    monkeypatch.setattr(daily_rooms, "BACK_S", 0.02)
    monkeypatch.setattr(daily_rooms, "BOT_GRACE_S", 0.02)
    with FakeDaily() as fake:
        monkeypatch.setattr(transport_module, "load_library", lambda: fake)
        yield fake


@pytest.mark.parametrize("path", PATHS)
async def test_a_caller_who_waits_is_connected_and_their_room_goes_with_them(
    daily: FakeDaily, server: DailyServer, path: str
) -> None:
    async with line(daily, server) as here:
        assert await here.ring(path=path) == 200
        (name,) = server.rooms
        assert server.rooms[name]["config"]["sip"]["display_name"] == CALL["From"]
        (session,) = here.calls
        assert session.args.body["dialin_settings"]["From"] == CALL["From"]
        room = f"{DOMAIN}/{name}"
        await eventually(lambda: daily.rooms.get(room))
        assert not server.connected
        daily.tell(room, "on_dialin_ready", "sip:x@y")
        await eventually(lambda: server.connected)
        assert server.connected == [{"callId": "c1", "callDomain": "d1", "sipUri": "sip:x@y"}]
        caller = daily.visit(room, "phone")
        caller.leave()
        await eventually(lambda: not here.calls)
        assert session.end_reason is EndReason.CLIENT_LEFT
        assert not server.rooms


async def test_a_caller_who_hangs_up_before_being_connected_ends_the_call(
    daily: FakeDaily, server: DailyServer
) -> None:
    async with line(daily, server) as here:
        await here.ring()
        room = f"{DOMAIN}/{server.made[0]}"
        await eventually(lambda: daily.rooms.get(room))
        daily.tell(room, "on_dialin_stopped", {"sessionId": "s"})
        await eventually(lambda: not here.calls)
        assert not server.rooms


async def test_nobody_but_daily_starts_the_bot(daily: FakeDaily, server: DailyServer) -> None:
    async with line(daily, server) as here:
        other = base64.b64encode(b"somebody else's").decode()
        assert await here.ring(secret=other) == 403
        assert await here.post(json.dumps(CALL).encode()) == 403
        assert await here.ring({"callId": 3}) == 403
        assert not here.calls
        assert not server.asked


async def test_without_the_secret_nobody_is_believed(
    daily: FakeDaily, server: DailyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAILY_DIALIN_SECRET")
    async with line(daily, server) as here:
        assert await here.ring() == 403


@pytest.mark.parametrize("word", ["test", "Test"])
async def test_a_configuration_s_test_is_answered_and_starts_nothing(
    daily: FakeDaily, server: DailyServer, word: str
) -> None:
    async with line(daily, server) as here:
        assert await here.post(json.dumps({word: True}).encode()) == 200
        assert not here.calls


async def test_a_repeated_webhook_starts_one_bot(daily: FakeDaily, server: DailyServer) -> None:
    async with line(daily, server) as here:
        assert [await here.ring(), await here.ring()] == [200, 200]
        assert len(here.calls) == 1
        assert len(server.made) == 1


async def test_limits_hold_for_daily_s_callers_too(daily: FakeDaily, server: DailyServer) -> None:
    async with line(daily, server, max_calls_per_caller=1) as here:
        assert await here.ring() == 200
        assert await here.ring({**CALL, "callId": "c2"}) == 503
        assert await here.ring({**CALL, "callId": "c3", "From": "+14150000009"}) == 200
        here.calls[0]._task.cancel()
        await eventually(lambda: len(here.calls) == 1)
        assert await here.ring({**CALL, "callId": "c4"}) == 200


async def test_a_room_that_cannot_be_made_is_tried_again_when_daily_rings_again(
    daily: FakeDaily, server: DailyServer
) -> None:
    async with line(daily, server, max_calls_per_caller=1) as here:
        server.faults.append("401")
        assert await here.ring() == 503
        assert not server.rooms
        assert await here.ring() == 200
