"""What no client of ours sends: it is refused on both ports, and no error of ours (RELIABILITY test 25)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from public_world import Bot, public_world

from runner.cli.listen import address_of, open_listener
from runner.logs import MOST, MOST_KINDS, ThrottledLog
from runner.server.access import BodyLimit
from runner.server.app import create_app
from runner.server.wire.uvicorn_server import Server
from runner.services.common import warmup

PATIENCE_S = 15.0
POST = b"POST /start HTTP/1.1\r\nHost: localhost\r\n"
CHUNK = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"

RAW = {
    "a length beyond all limits": POST + b"Content-Length: 10000000000\r\n\r\n",
    "a length that is none": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "more chunks than a body may have": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + 80 * CHUNK
    + b"0\r\n\r\n",
    "a chunk that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk that is none behind the answer": b"GET /status HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    "an encoding of nobody": POST + b"Transfer-Encoding: rot13\r\n\r\nabc",
    "a huge head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "many small heads": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "a long path": b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path with zeros": b"GET /%00/../%2e%2e/etc HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a path of raw bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an old version": b"GET /\r\n\r\n",
    "a method of nobody": b"BREW /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a proxy's request": b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an upgrade without a key": UPGRADE + b"Sec-WebSocket-Version: 13\r\n\r\n",
    "an upgrade of a version that is none": UPGRADE
    + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 99\r\n\r\n",
    "an upgrade to something else": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
    b"Upgrade: h2c\r\n\r\n",
}
GARBAGE_BEHIND = "a chunk that is none behind the answer"
HARMLESS = ("length and chunks", "many small heads", "an upgrade to something else", GARBAGE_BEHIND)
"""What the main port answers, and may."""


@pytest.fixture(autouse=True)
def nothing_to_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is taken opens the page's door, which would start the helpers of all tests before."""
    monkeypatch.setattr(warmup, "_entries", {})


@contextlib.asynccontextmanager
async def port_of(side: str) -> AsyncIterator[int]:
    async with public_world(Bot()) as world:
        if side == "public":
            yield world.port
            return
        world.host.public_calls = None  # whose key would be asked for before anything is read
        with open_listener("127.0.0.1", 0) as listener:
            async with Server(create_app(world.host)).serving(listener, 0.3):
                yield address_of(listener)[1]


async def answer_to(port: int, request: bytes, more: bytes = b"") -> bytes:
    """What comes back, to `more` behind the first answer, too, before the peer closes or sends no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(request)
        async with asyncio.timeout(PATIENCE_S):
            while b"\r\n\r\n" not in got and (piece := await reader.read(65536)):
                got += piece
            if more:
                writer.write(more)
                await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return got


@pytest.mark.parametrize("side", ["main", "public"])
@pytest.mark.parametrize("case", RAW)
@pytest.mark.faults(25)
async def test_what_is_no_request_is_refused_and_no_error_of_ours(
    case: str, side: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BodyLimit.__init__.__kwdefaults__, "deadline_s", 0.5)
    async with port_of(side) as port:
        answer = await answer_to(port, RAW[case], b"zz\r\n" if case == GARBAGE_BEHIND else b"")
        least = 200 if case in HARMLESS else 400
        assert not answer or least <= int(answer.split()[1]) < 500, answer[:200]
        assert b" 404 " in await answer_to(port, b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_flood_of_one_refusal_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    log = ThrottledLog(logging.getLogger("carriers"))
    for number in range(1000):
        log.warning("a webhook was refused: %s", f"its token is {number} s too old")
    log.warning("a webhook was refused: %s", "the signature does not match")
    assert len([line for line in caplog.messages if "too old" in line]) == MOST
    assert "the signature does not match" in caplog.messages[-1]


def test_refusals_of_many_kinds_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = ThrottledLog(logging.getLogger("carriers"))
    for number in range(1000):
        log.warning("refused: %s", "x" * number)
    assert len(caplog.messages) <= MOST * (MOST_KINDS + 1)
