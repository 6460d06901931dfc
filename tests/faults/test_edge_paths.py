"""Requests and calls that come to nothing on the public port leave nothing behind: no task, no descriptor."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually, steady
from public_world import Bot, World, call_fields, public_world, signed, wire
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc"),
]

TIMES = 60


async def forged_webhook(world: World, number: int) -> None:
    request = signed("twilio", "/twilio/answer", call_fields("twilio", f"CA{number}"))
    answer = await world.send(replace(request, headers={**request.headers, "x-twilio-signature": "forged"}))
    assert answer.status_code == 403


async def unknown_token(world: World, number: int) -> None:
    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{world.port}/ws/{number}", proxy=None)


async def closed_before_start(world: World, number: int) -> None:
    url = await world.answered("twilio", f"CA{number}")
    async with world.media("twilio", url):
        pass


async def bot_raises(world: World, number: int) -> None:
    url = await world.answered("twilio", f"CA{number}")
    async with world.media("twilio", url) as socket:
        for message in wire("twilio", f"CA{number}").opening():
            await socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


async def fails(args: Any) -> None:
    raise ValueError("planted")


def left_over() -> tuple[int, int]:
    gc.collect()
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))


@pytest.mark.faults(7)
@pytest.mark.parametrize("come", [forged_webhook, unknown_token, closed_before_start, bot_raises])
async def test_what_comes_to_nothing_leaves_nothing_behind(
    come: Callable[[World, int], Awaitable[None]],
) -> None:
    bot = Bot(fails)
    limits = {"max_public_calls": 0, "max_calls_per_caller": 0, "max_starts_per_min": 0}
    async with public_world(bot, **limits) as world:
        for number in range(5):  # what is made once stays: filters, pooled connections
            await come(world, number)
        await eventually(lambda: not world.host.sessions.active)
        before = await steady(left_over)
        for number in range(5, 5 + TIMES):
            await come(world, number)
        await eventually(lambda: not world.host.sessions.active)
        await eventually(lambda: left_over()[0] <= before[0] and left_over()[1] <= before[1] + 2, 10)
        expected = 5 + TIMES if come is bot_raises else 0
        assert len(bot.args) == expected
