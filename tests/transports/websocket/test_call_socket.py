"""A call's socket before its bot reads: a hang-up is seen, and what waits is bounded."""

from __future__ import annotations

import asyncio
import logging

import pytest
from phone_bots import CountedBot, in_memory, over_sockets

from runner.arguments import RunnerArguments
from runner.sessions.session import EndReason, Session
from runner.transports.websocket.socket import EARLY_MESSAGES, EarlyMessages


def media(number: int) -> str:
    return f'{{"event":"media","media":{{"chunk":"{number}"}}}}'


def test_of_what_waits_for_the_bot_the_oldest_sound_is_dropped_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    early, key = EarlyMessages(), '{"event":"dtmf","dtmf":{"digit":"1"}}'
    early.add(media(0))
    early.add(key)
    for number in range(1, 2 * EARLY_MESSAGES):
        early.add(media(number))
    assert early.dropped == EARLY_MESSAGES + 1
    assert early.pop() == key
    assert early.pop() == media(EARLY_MESSAGES + 1)
    assert caplog.text.count("old sound is dropped") == 1


@pytest.mark.parametrize("served_by", [in_memory, over_sockets])
async def test_a_hang_up_is_seen_while_the_bot_builds_its_transport(served_by) -> None:  # type: ignore[no-untyped-def]
    calling = asyncio.Event()

    async def bot(args: RunnerArguments) -> None:
        calling.set()
        await asyncio.Event().wait()

    async with served_by(bot) as served:
        sessions: list[Session] = []
        async with served.phone("twilio"), asyncio.timeout(10):
            await calling.wait()
            sessions += served.host.sessions.active.values()
        async with asyncio.timeout(10):
            await sessions[0].ended.wait()
        assert sessions[0].end_reason is EndReason.CLIENT_LEFT


@pytest.mark.parametrize("provider", ["twilio", "exotel", "telnyx", "plivo"])
@pytest.mark.parametrize("served_by", [in_memory, over_sockets])
async def test_a_caller_who_hangs_up_breaks_nothing(  # type: ignore[no-untyped-def]
    served_by, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The `stop` message ends the call while it is being read."""
    bot = CountedBot(greeting="hello there.")
    async with served_by(bot) as served:
        async with served.phone(provider) as phone, asyncio.timeout(10):
            await phone.until(phone.bot_has_spoken, 5)
            sessions = list(served.host.sessions.active.values())
        async with asyncio.timeout(10):
            await sessions[0].ended.wait()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
