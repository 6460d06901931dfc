"""WebSocket connections whose clients or applications misbehave. Real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
import websockets
from websocket_bytes import CLOSE, CONT, FIN, PING, PONG, TEXT, frame
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from runner.server.wire import uvicorn_server, websocket_protocol
from runner.server.wire.uvicorn_server import Server
from runner.transports.websocket.socket import DIRECT

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

PATIENCE_S = 10.0

HEAD = (
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


async def fails(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    raise ValueError("planted")


async def returns(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


async def echo_directly(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    direct = scope["extensions"][DIRECT]["socket"]
    over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    direct.subscribe(
        lambda message: direct.try_send(lambda: message),
        lambda code, _: over.done() or over.set_result(code),
    )
    await over
    direct.unsubscribe()


@contextlib.asynccontextmanager
async def serving(app: App) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Server(app).serving(listener, 1.0):
            yield listener.getsockname()[1]


@contextlib.asynccontextmanager
async def raw_socket(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection after its handshake, of which each byte is the test's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write((HEAD + "\r\n").encode())
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer
    finally:
        writer.transport.abort()


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
    async with serving(fails) as port, connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
        with caplog.at_level(logging.ERROR), pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert [r.exc_info[1].args for r in caplog.records if r.exc_info and r.exc_info[1]] == [("planted",)]


async def test_an_application_that_returns_without_closing_closes_with_1000() -> None:
    async with serving(returns) as port, connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
        async with asyncio.timeout(PATIENCE_S):
            await client.wait_closed()
        assert client.close_code == 1000


async def test_a_request_that_the_application_does_not_answer_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket_protocol, "HANDSHAKE_S", 0.1)

    async def waits(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with serving(waits) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((HEAD + "\r\n").encode())
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
    assert answer.split()[1] == b"503"
    assert "did not answer a WebSocket request" in caplog.text


@pytest.mark.parametrize("app", [echo, echo_directly])
@pytest.mark.parametrize(
    ("last", "code"),
    [(frame(FIN | CLOSE, b"\x03\xe8"), 1000), (frame(FIN | 0x40 | TEXT, b"x"), 1002)],
    ids=["its own close", "a fault"],
)
async def test_the_close_code_reaches_a_client_that_is_still_sending(
    app: App, last: bytes, code: int
) -> None:
    """A socket that is closed with unread input resets the connection, and the code may be lost."""
    async with serving(app) as port, raw_socket(port) as (reader, writer):
        writer.write(frame(FIN | TEXT, b"hello") + last)
        for _ in range(50):
            writer.write(frame(FIN | TEXT, b"x" * 1000))
            await asyncio.sleep(0.002)
        async with asyncio.timeout(PATIENCE_S):
            received = await reader.read()
        client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
        client.receive_data(received)
        assert client.close_rcvd is not None
        assert client.close_rcvd.code == code


@pytest.mark.parametrize("app", [echo, echo_directly])
async def test_what_came_before_a_fault_is_answered_in_order(app: App) -> None:
    """Autobahn 3.2, 5.6: an echo, a pong within a fragmented message, its echo; then the fault closes."""
    async with serving(app) as port, raw_socket(port) as (reader, writer):
        writer.write(frame(FIN | TEXT, b"one") + frame(TEXT, b"t") + frame(FIN | PING, b"ping"))
        writer.write(
            frame(FIN | CONT, b"wo") + frame(FIN | 0x40 | TEXT, b"fault") + frame(FIN | TEXT, b"after")
        )
        async with asyncio.timeout(PATIENCE_S):
            received = await reader.read()
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
    client.receive_data(received)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    assert sorted(bytes(each.data) for each in frames[:3]) == [b"one", b"ping", b"two"]
    assert [bytes(each.data) for each in frames[:3] if each.opcode is Opcode.TEXT] == [b"one", b"two"]
    assert frames[2].data == b"two"
    assert frames[3].opcode is Opcode.CLOSE
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1002


async def test_an_application_that_never_reads_on_does_not_keep_a_faulty_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_protocol, "ANSWER_S", 0.1)
    released = asyncio.Event()

    async def sleeps(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await released.wait()

    async with serving(sleeps) as port, raw_socket(port) as (reader, writer):
        writer.write(frame(FIN | TEXT, b"one") + frame(FIN | 0x40 | TEXT))
        async with asyncio.timeout(PATIENCE_S):
            assert b"\x03\xea" in await reader.read()
        released.set()


async def test_a_client_that_sends_for_ever_after_the_close_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_protocol, "DISCARD_S", 0.2)
    async with serving(echo) as port, raw_socket(port) as (_, writer):
        writer.write(frame(FIN | CLOSE))

        async def send_for_ever() -> None:
            while True:
                writer.write(frame(FIN | TEXT, b"x" * 1000))
                await writer.drain()
                await asyncio.sleep(0.005)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_for_ever(), PATIENCE_S)


@pytest.mark.long
@pytest.mark.parametrize("app", [echo, echo_directly])
@pytest.mark.faults(30)
async def test_pings_of_a_client_that_never_reads_take_no_memory(app: App) -> None:
    """Before, 12 s of unread pongs took 384 MB."""
    pings = frame(FIN | PING, b"x" * 125) * 500
    sent = 0
    async with serving(app) as port, raw_socket(port) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = psutil.Process().memory_info().rss
        async with asyncio.timeout(PATIENCE_S * 3):
            while sent < 60 << 20:
                writer.write(pings)
                sent += len(pings)
                await writer.drain()
        grown = psutil.Process().memory_info().rss - before
    assert grown < 10 << 20


@pytest.mark.faults(30)
async def test_compression_is_declined_so_that_no_message_can_be_a_bomb() -> None:
    async with serving(echo) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(url, compression="deflate", proxy=None) as client:
            assert client.protocol.extensions == []
            await client.send("plain")
            assert await client.recv() == "plain"
        async with raw_socket(port) as (reader, writer):
            writer.write(frame(FIN | 0x40 | TEXT, b"\xed\xc1"))
            async with asyncio.timeout(PATIENCE_S):
                assert b"\x03\xea" in await reader.read()


@pytest.mark.faults(12)
async def test_a_client_that_answers_no_ping_is_closed_with_a_reason_and_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uvicorn_server, "PING_S", 0.1)
    async with serving(echo) as port, raw_socket(port) as (reader, writer):
        for _ in range(5):  # some data keeps it, although no ping is answered
            await asyncio.sleep(0.1)
            writer.write(frame(FIN | PONG))
        async with asyncio.timeout(PATIENCE_S):
            received = await reader.readuntil(b"not even a pong")
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)
    client.receive_data(received)
    pings = [event for event in client.events_received() if isinstance(event, Frame)][:-1]
    assert {ping.opcode for ping in pings} == {Opcode.PING}
    assert len(pings) >= 5
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1011
    assert client.close_rcvd.reason == "nothing came for 0.3 s, not even a pong"
    assert "WebSocket from 127.0.0.1: nothing came for 0.3 s" in caplog.text
