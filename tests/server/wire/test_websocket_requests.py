"""What the WebSocket server does with requests, pings and applications that misbehave. Real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
import websockets

from runner.server.wire.http_protocol import HttpProtocol
from runner.server.wire.websocket_protocol import WebSocketProtocol

HEAD = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


async def fails(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    raise ValueError("planted")


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        (f"X-Long: {'a' * 9000}\r\n\r\n", b"431"),
        ("".join(f"X-{n}: 1\r\n" for n in range(200)) + "\r\n", b"431"),
        ("Content-Length: 5\r\n\r\nhello", b"400"),
        ("Content-Length: 5\r\n\r\n", b"400"),
    ],
    ids=["long-line", "many-headers", "body", "body-missing"],
)
async def test_a_request_that_the_parser_refuses_is_answered_and_closed(extra: str, status: bytes) -> None:
    async with serving(fails) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((HEAD + extra).encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.split()[1] == status


async def test_an_application_that_fails_closes_with_1011_and_one_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(fails) as port, websockets.connect(f"ws://127.0.0.1:{port}/ws") as client:
        with caplog.at_level(logging.ERROR), pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert [r.exc_info[1].args for r in caplog.records if r.exc_info and r.exc_info[1]] == [("planted",)]
