"""Callers who come all at once, leave at the wrong moment or vanish (RELIABILITY tests 3, 7, 10 and 16)."""

from __future__ import annotations

import asyncio
import gc
import os
from functools import partial
from typing import Any

import pytest
from eventually import eventually
from phone_bots import CountedBot, Served, over_sockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from runner.callers.call import new_wire

pytestmark = pytest.mark.long

LIMIT = 5
"""Calls at once, as in `make_host`."""

TRY_AGAIN_LATER = 1013


async def ring(served: Served) -> ClientConnection:
    socket = await connect(served.url, compression=None, proxy=None)
    for message in new_wire("twilio").opening():
        await socket.send(message)
    return socket


async def refusal_of(socket: ClientConnection) -> int | None:
    """The code that it is closed with before a sound; None if it is spoken to."""
    try:
        await asyncio.wait_for(socket.recv(), 10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    return None


def enough_refused(sockets: list[ClientConnection]) -> bool:
    return sum(socket.close_code is not None for socket in sockets) == 30 - LIMIT


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.faults(3)
async def test_of_thirty_at_once_as_many_are_answered_as_may_be_and_then_as_many_again() -> None:
    bot = CountedBot(greeting="hello there.")
    async with over_sockets(bot) as served:
        for _ in range(2):
            sockets = await asyncio.gather(*(ring(served) for _ in range(30)))
            await eventually(partial(enough_refused, sockets))
            assert {socket.close_code for socket in sockets} == {TRY_AGAIN_LATER, None}
            assert len(served.host.sessions.active) == LIMIT
            await asyncio.gather(*(socket.close() for socket in sockets))
            await eventually(lambda: not served.host.sessions.active)
    assert len(bot.args) == 2 * LIMIT


async def leaves_at_once(served: Served) -> None:
    async with connect(served.url, proxy=None):
        pass


async def leaves_half_way(served: Served) -> None:
    async with connect(served.url, proxy=None) as socket:
        await socket.send(next(iter(new_wire("twilio").opening())))


async def vanishes(served: Served) -> None:
    socket = await ring(served)
    await refusal_of(socket)
    socket.transport.abort()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.parametrize("way", [leaves_at_once, leaves_half_way, vanishes])
@pytest.mark.faults(7)
async def test_callers_who_come_to_nothing_leave_nothing_behind(way: Any) -> None:
    async with over_sockets(CountedBot(greeting="hello there.")) as served:

        async def come(times: int) -> tuple[int, int]:
            for _ in range(times):
                await way(served)
            await eventually(lambda: not served.host.sessions.active)
            await asyncio.sleep(0.1)
            gc.collect()
            return len(asyncio.all_tasks()), descriptors()

        before = await come(3)
        after = await come(25)
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2


@pytest.mark.faults(16)
async def test_a_bot_that_fails_ends_its_own_call_at_once_and_no_other() -> None:
    calls: list[Any] = []
    well = CountedBot(greeting="hello there.")

    async def bot(args: Any) -> None:
        calls.append(args)
        if len(calls) > 1:
            raise ValueError("no good")
        await well(args)

    async with over_sockets(bot) as served:
        first = await ring(served)
        assert await refusal_of(first) is None
        for _ in range(10):
            other = await ring(served)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(other.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
        assert len(served.host.sessions.active) == 1
        await asyncio.wait_for(first.recv(), 5)
        await first.close()
