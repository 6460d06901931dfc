"""Which worker of `botrun serve` a connection goes to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventually import eventually

from runner.supervisor.dispatch import RECENT_S, STUCK_S, Dispatcher, Seat, begins_call, order_of

UPGRADE = b"GET /ws/t0k3n HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "call"),
    [
        (UPGRADE, True),
        (b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade:WebSocket\r\n\r\n", True),
        (b"POST /api/offer HTTP/1.1\r\n", True),
        (b"POST /start HTTP/1.1\r\n", True),
        (b"\x16\x03\x01", True),
        (b"POST /twilio/answer HTTP/1.1\r\n", False),
        (b"PATCH /api/offer HTTP/1.1\r\n", False),
        (b"GET /readyz HTTP/1.1\r\n", False),
        (b"", False),
    ],
)
def test_what_may_become_a_call(head: bytes, call: bool) -> None:
    assert begins_call(head) is call


@pytest.fixture
def two() -> Iterator[list[Seat]]:
    pairs = [socket.socketpair() for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        yield [Seat(name, ours, reported_at=100.0) for name, (ours, _) in zip("12", pairs, strict=True)]


def give(seats: list[Seat], now: float, *, call: bool = True) -> str:
    seat = order_of(seats, call=call, now=now)[0]
    seat.turn += 1
    if call:
        seat.handed.append(now)
    return seat.worker


def test_calls_that_come_at_once_are_split_in_halves_whatever_comes_between(two: list[Seat]) -> None:
    got = []
    for _ in range(40):
        give(two, 100.0, call=False)  # its webhook
        got.append(give(two, 100.0))
    assert got.count("1") == got.count("2") == 20


def test_the_worker_with_fewer_calls_gets_the_next(two: list[Seat]) -> None:
    two[0].calls = 5
    assert [give(two, 100.0 + RECENT_S * 2 * n) for n in range(3)] == ["2", "2", "2"]


def test_a_stuck_or_full_worker_gets_calls_only_if_all_are(two: list[Seat]) -> None:
    late = 100.0 + STUCK_S * 2
    two[0].calls, two[1].calls = 0, 9
    two[1].reported_at = late
    assert give(two, late) == "2"
    two[1].most = 9
    assert give(two, late) == "2", "full is better than stuck"
    two[0].reported_at = late
    assert give(two, late) == "1"


async def test_connections_reach_a_worker_with_all_their_bytes(tmp_path: Path) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as worker:
        listener.bind(("127.0.0.1", 0))
        dispatcher = Dispatcher({b"m": listener}, tmp_path / "accept.sock")
        dispatcher.expect("7", 0)
        worker.setblocking(False)
        worker.connect(str(tmp_path / "accept.sock"))
        worker.send(b"7")
        while "7" not in dispatcher.seats:
            await asyncio.sleep(0.001)
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(UPGRADE)
            while not dispatcher.seats["7"].turn:
                await asyncio.sleep(0.001)
            port, files, _, _ = socket.recv_fds(worker, 1, 1)
            with socket.socket(fileno=files[0]) as handed:
                assert (port, handed.recv(4096)) == (b"m", UPGRADE)
        dispatcher.unseat("7")
        assert worker.recv(1) == b"", "no more come"
        dispatcher.close()


async def test_a_worker_that_nobody_expects_gets_nothing(tmp_path: Path) -> None:
    dispatcher = Dispatcher({}, tmp_path / "accept.sock")
    reader = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader:
        reader.connect(str(tmp_path / "accept.sock"))
        reader.send(b"8")
        reader.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(reader, 1) == b""
    assert not dispatcher.seats
    dispatcher.close()


def test_a_process_for_one_call_is_given_one_and_nothing_else(two: list[Seat]) -> None:
    two[1].single, two[1].most = True, 1
    assert give(two, 100.0, call=False) == "1"
    assert give(two, 100.0) == "2"
    assert give(two, 100.1) == "1", "it has its call"
    two[1].calls = 1
    two[1].handed.clear()
    assert give(two, 100.2) == "1"


async def test_calls_wait_for_a_process_of_their_own(tmp_path: Path) -> None:
    def join(worker: socket.socket, name: str) -> None:
        dispatcher.expect(name, int(name == "8"), single=name == "8")
        worker.connect(str(tmp_path / "accept.sock"))
        worker.send(name.encode())

    kind = (socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.socket() as listener, socket.socket(*kind) as front, socket.socket(*kind) as single:
        listener.bind(("127.0.0.1", 0))
        dispatcher = Dispatcher({b"m": listener}, tmp_path / "accept.sock", isolates=True)
        join(front, "7")
        await eventually(lambda: "7" in dispatcher.seats, what="the front is seated")
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(UPGRADE)
            await eventually(lambda: dispatcher.waiting == 1, what="the call waits")
            join(single, "8")
            await eventually(lambda: dispatcher.waiting == 0, what="the call has a process")
            single.setblocking(False)
            port, files, _, _ = socket.recv_fds(single, 1, 1)
            with socket.socket(fileno=files[0]) as handed:
                assert (port, handed.recv(4096)) == (b"m", UPGRADE)
        dispatcher.close()
