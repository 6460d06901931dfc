"""`DailyTransport` in and out of a room, over a fake that behaves as daily-python was seen to."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from daily_talk import URL, talk
from eventually import eventually
from fake_daily import NO_NETWORK, FakeDaily

from runner.transports.daily import (
    call,
)
from runner.transports.session_port import SessionPort, enter_session


async def test_a_bot_joins_with_its_token_a_microphone_and_no_camera(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        (client,) = daily.clients
        assert (client.url, client.token, client.user_name) == (URL, "bot-token", "Bot")
        assert client.settings == {
            "inputs": {
                "camera": {"isEnabled": False},
                "microphone": {
                    "isEnabled": True,
                    "settings": {"customTrack": {"id": daily.microphones[0].id}},
                },
            }
        }
        assert daily.microphones[0].sample_rate == 24000
        await eventually(lambda: client.asked)
        assert client.asked[0][0] == "update_subscription_profiles"
    assert client.released
    assert not daily.rooms[URL]


async def test_the_events_of_a_visit_come_in_their_order(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
        visitor = daily.visit(URL, "ann")
        daily.visit(URL, "bob")
        await eventually(lambda: len(here.transport.participants()) == 2)
        visitor.leave("leftCall")
        await eventually(lambda: len(here.transport.participants()) == 1)
    names = [(name, *(what["id"] for what in event[:1] if isinstance(what, dict) and "id" in what))
             for name, *event in here.events]  # fmt: skip
    assert names == [
        ("on_joined",),
        ("on_first_participant_joined", "ann"),
        ("on_participant_joined", "ann"),
        ("on_client_connected", "ann"),
        ("on_participant_joined", "bob"),
        ("on_client_connected", "bob"),
        ("on_participant_left", "ann"),
        ("on_client_disconnected", "ann"),
        ("on_before_leave",),
        ("on_left",),
    ]


async def test_what_comes_after_leaving_is_for_nobody(daily: FakeDaily) -> None:
    async with talk(daily) as here:
        await here.transport.joined.wait()
    await eventually(lambda: daily.clients[0].released)
    await asyncio.sleep(0.02)
    assert here.transport.participants() == {}
    assert not [event for event in here.events if event[0] == "on_client_connected"]


async def test_a_room_that_cannot_be_joined_ends_the_call_in_words_once(
    daily: FakeDaily, caplog: pytest.LogCaptureFixture
) -> None:
    daily.join_error = NO_NETWORK
    caplog.set_level(logging.WARNING)
    async with talk(daily) as here:
        await asyncio.wait_for(here.run, 5)
        await asyncio.sleep(0.01)
    sentence = (
        f"Could not join the Daily room {URL}: cannot reach Daily from this machine: check the network and"
        " its firewall"
    )
    assert here.task.end_reason == sentence
    assert [event for event in here.events if event[0] == "on_error"] == [("on_error", sentence)]
    assert [record.getMessage() for record in caplog.records] == [sentence]


async def test_joining_has_a_deadline_of_our_own_and_the_end_does_not_wait_for_the_library(
    daily: FakeDaily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call.DailyCall.join, "__defaults__", (0.05,))
    monkeypatch.setattr(call.DailyCall.leave, "__defaults__", (0.05,))
    daily.join_s = 0.6
    async with talk(daily) as here:
        await asyncio.wait_for(here.run, 5)
        assert "within 0 s" in here.task.end_reason
        assert daily.clients[0].state == "joining"  # as the real one, which goes on for 19 s
    await eventually(lambda: daily.clients[0].released)


async def test_who_is_sent_out_of_the_room_does_not_stay_in_the_call(daily: FakeDaily) -> None:
    lost: list[str] = []
    enter_session(SessionPort(lost=lost.append))
    async with talk(daily) as here:
        await here.transport.joined.wait()
        daily.tell(URL, "on_call_state_updated", "left")
        await asyncio.wait_for(here.run, 5)
    assert here.task.end_reason == "Daily removed the bot: the room was closed, or its owner removed the bot"
    assert lost == ["the room was closed"]


async def test_the_server_learns_when_the_last_participant_has_left(daily: FakeDaily) -> None:
    left: list[str] = []
    enter_session(SessionPort(left=lambda: left.append("left")))
    async with talk(daily) as here:
        await here.transport.joined.wait()
        ann, bob = daily.visit(URL, "ann"), daily.visit(URL, "bob")
        ann.leave()
        await eventually(lambda: list(here.transport.participants()) == ["bob"])
        assert not left
        bob.leave()
        await eventually(lambda: left)


async def test_a_hundred_calls_leave_nothing_behind(daily: FakeDaily) -> None:
    daily.leave_s = 0.01

    async def one() -> None:
        async with talk(daily) as here:
            await here.transport.joined.wait()

    for _ in range(10):
        await asyncio.gather(*(one() for _ in range(10)))
    assert len(daily.clients) == 100
    assert all(client.released for client in daily.clients)
    assert not daily.rooms[URL]
    assert not [thread for thread in threading.enumerate() if thread.name == "daily call"]
