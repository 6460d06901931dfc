"""Sockets of many calls are read together: nothing is lost by it, and few calls do not wait."""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvloop

from runner.eventloop import batched_reads as rounds
from runner.eventloop.batched_reads import Rounds, rounds_of

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda work: runner.run(asyncio.wait_for(work, 20))


def test_without_descriptors_sockets_are_read_one_by_one_and_it_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def work() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(rounds.select, "epoll", none_left)
        batch, ends, got = Rounds(loop), [], asyncio.Event()

        class Takes(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                got.set()

        for _ in range(rounds.MANY + 1):
            near, far = socket.socketpair()
            transport, protocol = await loop.create_connection(Takes, sock=near)
            batch.join(transport, protocol.data_received)
            ends.append((transport, far))
        assert not batch.running
        ends[-1][1].sendall(b"sound")
        await got.wait()
        for transport, far in ends:
            batch.leave(transport)
            transport.close()
            far.close()

    asyncio.run(asyncio.wait_for(work(), 20))
    assert "not read in batches: Too many open files" in caplog.text


class Reading(asyncio.Protocol):
    """One connection of the server's, which keeps what it was sent."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.got = bytearray()
        self.ends = 0
        self.reads = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        # As after a handshake: uvloop begins to read when this returns.
        asyncio.get_running_loop().call_soon(self.begin)

    def begin(self) -> None:
        self.server.rounds.join(self.transport, self.data_received)
        self.server.readings.append(self)
        self.server.changed.set()

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        self.got += data
        if self.server.on_data is not None:
            self.server.on_data(self, data)
        self.server.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends += 1
        self.server.rounds.leave(self.transport)
        self.server.changed.set()


class Server:
    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.changed = asyncio.Event()
        self.on_data: Callable[[Reading, bytes], None] | None = None
        self.rounds: Rounds = rounds_of(asyncio.get_running_loop())

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def served(clients: int) -> AsyncIterator[tuple[Server, list[socket.socket]]]:
    """A server, and so many sockets that are connected to it, in the order of its readings."""
    loop, server = asyncio.get_running_loop(), Server()
    listening = await loop.create_server(lambda: Reading(server), "127.0.0.1", 0)
    far_ends = []
    try:
        for number in range(clients):
            far_ends.append(socket.create_connection(listening.sockets[0].getsockname()))
            await server.until(lambda: len(server.readings) == number + 1)  # noqa: B023
        yield server, far_ends
    finally:
        for peer_server in far_ends:
            peer_server.close()
        await server.until(lambda: all(reading.ends for reading in server.readings))
        listening.close()
        await listening.wait_closed()
        assert not server.rounds.running


def test_few_sockets_are_read_as_messages_come(run: Run) -> None:
    async def talk() -> None:
        async with served(rounds.MANY - 1) as (server, far_ends):
            assert not server.rounds.running
            far_ends[0].sendall(b"at once")
            await server.until(lambda: server.readings[0].got == b"at once")

    run(talk())


def test_of_many_sockets_every_byte_arrives_in_order(run: Run) -> None:
    async def talk() -> None:
        chance = random.Random(7)
        async with served(rounds.MANY + 4) as (server, far_ends):
            assert server.rounds.running
            sent = [bytearray() for _ in far_ends]
            for _ in range(40):
                for peer_server, so_far in zip(far_ends, sent, strict=True):
                    piece = chance.randbytes(chance.choice((1, 300, 9000)))
                    so_far += piece
                    peer_server.sendall(piece)
                await asyncio.sleep(0.001)
            await server.until(lambda: sum(len(r.got) for r in server.readings) == sum(map(len, sent)))
            assert [r.got for r in server.readings] == sent

    run(talk())


def test_what_came_since_the_last_round_is_read_at_once(run: Run) -> None:
    async def talk() -> None:
        async with served(rounds.MANY) as (server, far_ends):
            far_ends[0].sendall(b"begin")
            await server.until(lambda: server.readings[0].got == b"begin")
            # A round has just been; ten messages come before the next.
            for _ in range(10):
                far_ends[1].sendall(b"message")
            await server.until(lambda: server.readings[1].got == 10 * b"message")
            assert server.readings[1].reads == 1

    run(talk())


def test_rounds_end_when_few_are_left_and_those_are_still_read(run: Run) -> None:
    async def talk() -> None:
        async with served(rounds.MANY) as (server, far_ends):
            for peer_server in far_ends[rounds.FEW :]:
                peer_server.close()
            await server.until(lambda: all(reading.ends for reading in server.readings[rounds.FEW :]))
            assert not server.rounds.running
            far_ends[0].sendall(b"still here")
            await server.until(lambda: server.readings[0].got == b"still here")
            assert [reading.ends for reading in server.readings] == [0] * rounds.FEW + [1] * (
                rounds.MANY - rounds.FEW
            )

    run(talk())


def test_a_broken_connection_is_reported_once_after_all_that_was_sent_before(run: Run) -> None:
    async def talk() -> None:
        async with served(rounds.MANY + 4) as (server, far_ends):
            far_ends[3].sendall(b"last words")
            far_ends[3].close()
            await server.until(lambda: bool(server.readings[3].ends))
            assert server.readings[3].got == b"last words"
            assert server.readings[3].ends == 1
            assert server.rounds.running

    run(talk())


def test_one_that_fails_on_what_it_was_sent_is_alone_with_it(run: Run) -> None:
    async def talk() -> None:
        received: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: received.append(context))

        def fail(reading: Reading, data: bytes) -> None:
            if data == b"poison":
                raise ValueError("this one does not like it")

        async with served(rounds.MANY + 4) as (server, far_ends):
            server.on_data = fail
            for number, peer_server in enumerate(far_ends):
                peer_server.sendall(b"poison" if number == 2 else b"well")
            await server.until(lambda: bool(server.readings[2].ends))
            await server.until(lambda: all(r.got == b"well" for r in server.readings if r.got != b"poison"))
            assert sum(reading.ends for reading in server.readings) == 1
            assert [type(context["exception"]) for context in received] == [ValueError]

    run(talk())


def test_one_may_end_others_in_the_middle_of_a_round(run: Run) -> None:
    async def talk() -> None:
        def end_others(reading: Reading, data: bytes) -> None:
            for other in reading.server.readings:
                if other is not reading:
                    other.transport.close()

        async with served(rounds.MANY + 4) as (server, far_ends):
            server.on_data = end_others
            for peer_server in far_ends:
                peer_server.sendall(b"you or me")
            await server.until(lambda: sum(reading.ends for reading in server.readings) >= rounds.MANY)

    run(talk())


def test_what_is_due_is_done_in_order_never_early_and_goes_on_without_rounds(run: Run) -> None:
    async def talk() -> None:
        loop, done = asyncio.get_running_loop(), []
        all_done = asyncio.Event()

        def doing(name: str, at: float) -> Callable[[], None]:
            def do() -> None:
                done.append((name, loop.time() >= at - 0.001))  # uvloop counts in whole milliseconds
                if name == "last":
                    all_done.set()

            return do

        async with served(rounds.MANY) as (server, far_ends):
            now = loop.time()
            for name, after_s in (("second", 0.02), ("first", 0.01), ("last", 0.25)):
                server.rounds.call_at(now + after_s, doing(name, now + after_s))
            server.rounds.call_at(now + 0.015, doing("cancelled", 0)).cancel()
            kept = server.rounds.call_at(now + 0.2, doing("cancelled later", 0))
            server.changed.clear()
            while len(done) < 2:
                await asyncio.sleep(0.005)
            assert server.rounds.running
            for peer_server in far_ends:
                peer_server.close()
            await server.until(lambda: not server.rounds.running)
            kept.cancel()
            await all_done.wait()
        assert done == [("first", True), ("second", True), ("last", True)]

    run(talk())


def test_what_fails_when_it_is_due_keeps_nothing_else_from_being_done(run: Run) -> None:
    async def talk() -> None:
        loop, result = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda loop, context: result.append(context))
        done = asyncio.Event()

        def fail() -> None:
            raise ValueError("not this time")

        async with served(rounds.MANY) as (server, _):
            server.rounds.call_at(loop.time(), fail)
            server.rounds.call_at(loop.time() + 0.001, done.set)
            await done.wait()
        assert len(result) == 1

    run(talk())


class _Encrypted(asyncio.Transport):
    """A transport under TLS, which nobody else may read."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return object() if name == "ssl_object" else default


def test_what_is_encrypted_is_never_read_in_rounds(run: Run) -> None:
    async def talk() -> None:
        own = Rounds(asyncio.get_running_loop())
        for _ in range(2 * rounds.MANY):
            own.join(_Encrypted(), lambda data: None)
        assert not own.running

    run(talk())
