"""Strangers cannot fill a port: beyond a limit, connections that proved nothing are closed. Real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from public_world import Bot, public_world, wire
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from runner.server.wire import connection_limits
from runner.server.wire.connection_limits import ConnectionLimits, verify
from runner.server.wire.uvicorn_server import Server

PATIENCE_S = 10.0
LOCAL, OTHER = "127.0.0.1", "127.0.0.2"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site:
    """An application whose `/slow` answers when it is released, and whose `/proof` knows its clients."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.asked = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/slow", self.slow),
                Route("/proof", self.proof),
                WebSocketRoute("/ws", self.echo),
            ]
        )

    async def slow(self, request: Request) -> Response:
        self.asked.set()
        await self.released.wait()
        return PlainTextResponse("slow")

    async def proof(self, request: Request) -> Response:
        verify(request.scope)
        return PlainTextResponse("proof")

    async def echo(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)


@contextlib.asynccontextmanager
async def served(site: Site, limits: ConnectionLimits) -> AsyncIterator[int]:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        async with Server(site.app, limits=limits).serving(listener, 0.3):
            yield listener.getsockname()[1]


class Clients:
    """Open connections to a port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._open: list[Streams] = []

    async def idle(self, address: str = LOCAL) -> Streams:
        streams = await asyncio.open_connection(address, self.port, local_addr=(address, 0))
        self._open.append(streams)
        return streams

    async def asking(self, path: str, address: str = LOCAL) -> Streams:
        streams = await self.idle(address)
        streams[1].write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return streams

    def close(self) -> None:
        for _, writer in self._open:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def clients(port: int) -> AsyncIterator[Clients]:
    made = Clients(port)
    try:
        yield made
    finally:
        made.close()


async def is_closed(streams: Streams) -> bool:
    """Wait until the server has closed it."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(streams[0].read(1), PATIENCE_S) == b""
    return True


def is_open(streams: Streams) -> bool:
    return not streams[0].at_eof() and streams[0].exception() is None


async def test_the_oldest_idle_connection_is_closed_for_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    limits = ConnectionLimits(3, 3, 3, limits_local=True)
    async with served(Site(), limits) as port, clients(port) as made:
        opened = [await made.idle() for _ in range(5)]
        assert await is_closed(opened[0])
        assert await is_closed(opened[1])
        assert all(map(is_open, opened[2:]))
    (line,) = [record for record in caplog.records if record.name == connection_limits.__name__]
    assert line.levelno == logging.WARNING
    assert f"port {port} has too many connections" in line.getMessage()
    assert "limits: 3 in all, 3 from one address" in line.getMessage()


async def test_an_address_with_too_many_loses_its_own_and_no_other_one() -> None:
    limits = ConnectionLimits(10, 2, 4, limits_local=True)
    async with served(Site(), limits) as port, clients(port) as made:
        first = await made.idle(OTHER)
        many = [await made.idle() for _ in range(4)]
        assert await is_closed(many[0])
        assert await is_closed(many[1])
        assert all(map(is_open, [first, *many[2:]]))


async def test_a_connection_that_is_being_answered_is_closed_last() -> None:
    site = Site()
    async with served(site, ConnectionLimits(3, 3, 3, limits_local=True)) as port, clients(port) as made:
        reader, _ = await made.asking("/slow")
        await asyncio.wait_for(site.asked.wait(), PATIENCE_S)
        opened = [await made.idle() for _ in range(6)]
        assert await is_closed(opened[3])
        site.released.set()
        assert (await asyncio.wait_for(reader.readuntil(b"slow"), PATIENCE_S)).startswith(b"HTTP/1.1 200 ")


async def test_verified_clients_and_calls_are_not_limited() -> None:
    site = Site()
    async with served(site, ConnectionLimits(3, 3, 3, limits_local=True)) as port, clients(port) as made:
        proven = await made.asking("/proof")
        await asyncio.wait_for(proven[0].readuntil(b"proof"), PATIENCE_S)
        async with connect(f"ws://{LOCAL}:{port}/ws", proxy=None) as call:
            opened = [await made.idle() for _ in range(8)]
            assert await is_closed(opened[4])
            assert is_open(proven)
            await call.send("still here")
            assert await asyncio.wait_for(call.recv(), PATIENCE_S) == "still here"


async def test_a_burst_may_exceed_the_limits_for_a_moment() -> None:
    async with served(Site(), ConnectionLimits(3, 3, 8, limits_local=True)) as port, clients(port) as made:
        burst = [await made.asking("/proof") for _ in range(8)]
        for reader, _ in burst:
            await asyncio.wait_for(reader.readuntil(b"proof"), PATIENCE_S)
        opened = [await made.idle() for _ in range(8)]
        assert await is_closed(opened[4])
        assert all(map(is_open, opened[5:]))


async def test_clients_of_this_machine_are_limited_on_the_public_port_only() -> None:
    async with served(Site(), ConnectionLimits(2, 2, 2)) as port, clients(port) as made:
        opened = [await made.idle() for _ in range(6)]
        last = await made.asking("/proof")
        await asyncio.wait_for(last[0].readuntil(b"proof"), PATIENCE_S)
        assert all(map(is_open, opened))


async def test_a_flood_is_one_log_line_with_the_number_of_connections(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(connection_limits.time, "monotonic", lambda: now)
    limits = ConnectionLimits(2, 2, 2, limits_local=True)

    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return {"peername": ("203.0.113.9", 4711), "sockname": ("127.0.0.1", 7861)}.get(name, default)

        def abort(self) -> None:
            pass

    for second in range(0, 23, 2):
        now = float(second)
        limits.opened(Transport())
    lines = [record.getMessage() for record in caplog.records]
    assert ["closed 1, " in lines[0], "closed 5, " in lines[1], len(lines)] == [True, True, 2]
    assert "203.0.113.9" in lines[0]


@pytest.mark.faults(30)
async def test_idle_sockets_that_are_renewed_do_not_keep_a_carrier_out() -> None:
    """ATTACK.md, security 1: 256 sockets kept every carrier out for 100 s."""
    bot = Bot()
    async with public_world(bot) as world, clients(world.port) as made:
        opened = [await made.idle() for _ in range(300)]
        assert await is_closed(opened[0])  # the fault is there: the port is full

        async def renew() -> None:
            while True:
                for streams in opened[-20:]:
                    streams[1].transport.abort()
                for _ in range(20):
                    opened.append(await made.idle())
                await asyncio.sleep(0.01)

        renewing = asyncio.create_task(renew())
        try:
            for call in ("CA1", "CA2"):
                url = await asyncio.wait_for(world.answered("twilio", call), PATIENCE_S)
                bot.started.clear()
                async with world.media("twilio", url) as media:
                    for message in wire("twilio", call).opening():
                        await media.send(message)
                    await asyncio.wait_for(bot.started.wait(), PATIENCE_S)
        finally:
            renewing.cancel()
            await asyncio.wait({renewing})
        assert len(bot.args) == 2


@pytest.mark.faults(30)
async def test_upgrade_requests_that_are_never_complete_do_not_keep_a_carrier_out() -> None:
    """The same attack with upgrade requests that announce a body."""
    head = (
        b"GET /ws/x HTTP/1.1\r\nHost: bot.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Content-Length: 5\r\n\r\n"
    )
    bot = Bot()
    async with public_world(bot) as world, clients(world.port) as made:
        opened = [await made.idle() for _ in range(256)]
        for _, writer in opened:
            writer.write(head)
        for reader, _ in opened[128:]:
            with contextlib.suppress(ConnectionError):
                assert (await asyncio.wait_for(reader.read(), PATIENCE_S)).startswith(b"HTTP/1.1 400 ")
        assert await asyncio.wait_for(world.answered("twilio", "CA9"), PATIENCE_S)
