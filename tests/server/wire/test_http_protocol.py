"""A client that takes too long over a request, or sends one that servers may read differently, is refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from eventually import eventually
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from runner.cli.listen import address_of, open_listener
from runner.server.access import BodyLimit
from runner.server.wire.uvicorn_server import Server

REQUEST_S = 0.4
PATIENCE_S = 10.0

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
)
BODY_BEGUN = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
UNREAD_BODY = b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
WHOLE = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def read_body(request: Request) -> Response:
    await request.body()
    return PlainTextResponse("ok")


async def answer_at_once(request: Request) -> Response:
    return PlainTextResponse("ok")


async def think_first(request: Request) -> Response:
    await asyncio.sleep(REQUEST_S * 2)
    return PlainTextResponse("ok")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@contextlib.asynccontextmanager
async def served(body_s: float = REQUEST_S * 2, keep_alive_s: int = 5) -> AsyncIterator[int]:
    """A port whose requests must be whole within `REQUEST_S`; each must begin within `keep_alive_s`."""
    app = Starlette(
        routes=[
            Route("/status", answer_at_once),
            Route("/thoughtful", think_first),
            Route("/body", read_body, methods=["POST"]),
            WebSocketRoute("/ws", echo),
        ]
    )
    with open_listener("127.0.0.1", 0) as listener:
        server = Server(BodyLimit(app, deadline_s=body_s), request_s=REQUEST_S)
        server.config.timeout_keep_alive = keep_alive_s
        async with server.serving(listener, 0.3):
            yield address_of(listener)[1]


async def until_closed(port: int, begin: bytes, trickle: bytes) -> bytes:
    """Send `begin`, then `trickle` byte by byte until the server closes; returns what it answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(begin)

        async def drip() -> None:
            while trickle:
                writer.write(trickle)
                await asyncio.sleep(REQUEST_S / 20)

        dripping = asyncio.create_task(drip())
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await _all(reader)
        finally:
            dripping.cancel()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _all(reader: asyncio.StreamReader) -> bytes:
    answered = b""
    with contextlib.suppress(ConnectionError):  # a byte came after the end: a reset is an end, too
        while piece := await reader.read(1000):
            answered += piece
    return answered


@pytest.mark.parametrize(
    ("begin", "trickle", "answered"),
    [
        (b"", b"", b""),
        (b"GET / HTTP/1.1\r\nHost: loc", b"", b""),
        (b"GET / HTTP/1.1\r\nX-Long: ", b"x", b""),
        (UPGRADE, b"x", b""),
        (BODY_BEGUN, b"x", b""),
        (UNREAD_BODY, b"x", b"200 OK"),
        (WHOLE + b"GET / HTTP/1.1\r\nX-Long: ", b"x", b"200 OK"),
    ],
    ids=["silence", "half a head", "slow head", "slow upgrade", "slow body", "unread body", "second request"],
)
@pytest.mark.faults(25)
async def test_a_request_that_takes_too_long_ends_its_connection(
    begin: bytes, trickle: bytes, answered: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as port:
        got = await until_closed(port, begin, trickle)
    assert answered in got
    assert bool(answered) == bool(got)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_nobody_else_is_disturbed_and_a_call_is_no_request_that_takes_long() -> None:
    async with served() as port, connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as call:
        for n in range(3):
            slow = [until_closed(port, b"GET / HTTP", b"x") for _ in range(20)]
            await asyncio.gather(*slow)
            await call.send(f"still here {n}")
            assert await asyncio.wait_for(call.recv(), PATIENCE_S) == f"still here {n}"


async def test_a_connection_that_is_kept_alive_serves_one_request_after_another() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(6):
            writer.write(WHOLE)
            assert await asyncio.wait_for(reader.readuntil(b"ok"), PATIENCE_S)
            await asyncio.sleep(REQUEST_S / 3)
        writer.close()
        await writer.wait_closed()


async def test_an_answer_may_take_longer_than_its_request() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(WHOLE.replace(b"/status", b"/thoughtful"))
        assert await asyncio.wait_for(reader.readuntil(b"ok"), PATIENCE_S)
        writer.close()
        await writer.wait_closed()


async def test_a_sender_of_a_slow_body_learns_why_the_connection_ends() -> None:
    async with served(body_s=REQUEST_S / 2) as port:
        answered = await until_closed(port, BODY_BEGUN, b"x")
    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answered


async def test_who_leaves_in_the_middle_of_a_body_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BODY_BEGUN)
        await writer.drain()
        await asyncio.sleep(REQUEST_S / 8)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(REQUEST_S / 8)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def chunked(*headers: str) -> bytes:
    lines = ["POST /body HTTP/1.1", "Host: localhost", *headers, "Transfer-Encoding: chunked"]
    return "\r\n".join([*lines, "", "5", "hello", "0", "", ""]).encode()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (chunked(), b"200"),
        (chunked("Content-Length: 5"), b"400"),
        (chunked("content-length: 26"), b"400"),
        (UPGRADE.replace(b"1.1", b"1.0") + b"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", b"400"),
        (
            UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c").replace(b"/ws", b"/status")
            + b"x\r\n\r\n",
            b"200",
        ),
        # RFC 6455, 4.1: no frame before the server's answer.
        (UPGRADE + b"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85\0\0\0\0hello", b"400"),
    ],
    ids=[
        *("chunked", "with a length", "with another length", "upgrade of HTTP/1.0", "unknown upgrade"),
        "frames before the answer",
    ],
)
async def test_a_request_that_two_servers_may_read_differently_is_refused(
    request_bytes: bytes, status: bytes
) -> None:
    async with served(keep_alive_s=0) as port:
        answered = await until_closed(port, request_bytes, b"")
    assert answered.split()[1] == status


async def big_answer(request: Request) -> Response:
    return Response(b"x" * 50_000_000)


async def test_a_client_that_does_not_read_its_answer_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runner.server.wire import http_protocol

    monkeypatch.setattr(http_protocol, "STALL_S", 0.2)
    app = Starlette(routes=[Route("/status", big_answer)])
    with open_listener("127.0.0.1", 0) as listener:
        server = Server(app)
        async with server.serving(listener, 0.3):
            _, writer = await asyncio.open_connection(*address_of(listener))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(WHOLE)
            await eventually(lambda: server.server_state.connections, PATIENCE_S)
            await eventually(lambda: not server.server_state.connections, PATIENCE_S)
            writer.transport.abort()
