"""Rooms and tokens, against a real HTTP server that behaves as the fact sheet says Daily does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from daily_server import KEY, DailyServer, daily_server

from runner.errors import ProviderError, UsageError
from runner.providers import rest
from runner.providers.daily import TRIES, DailyRest, RoomWish, room_at

SOON = time.time() + 3600


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "PAUSE_S", 0.001)


@pytest.fixture
async def server() -> AsyncIterator[DailyServer]:
    async with daily_server() as server:
        yield server


@pytest.fixture
async def daily(server: DailyServer) -> AsyncIterator[DailyRest]:
    api = DailyRest(KEY, server.url)
    yield api
    await api.aclose()


async def test_a_room_is_private_and_ends_with_everybody_in_it(server: DailyServer, daily: DailyRest) -> None:
    room = await daily.create_room(RoomWish(expires_at=SOON + 0.7))
    made = server.rooms[room.name]
    assert room.url == made["url"]
    assert made["privacy"] == "private"
    assert made["config"]["exp"] == int(SOON + 0.7)
    assert made["config"]["eject_at_room_exp"] is True
    assert room.sip_uri == ""
    await daily.delete_room(room.name)
    assert not server.rooms


async def test_a_room_for_phones_has_a_sip_end_and_may_dial(server: DailyServer, daily: DailyRest) -> None:
    room = await daily.create_room(RoomWish(expires_at=SOON, dial_in=True, dial_out=True, shown_as="+1415"))
    assert room.sip_uri == f"sip:123-456@{room.name}.sip.daily.co"
    config = server.rooms[room.name]["config"]
    assert config["enable_dialout"] is True
    assert config["sip"]["display_name"] == "+1415"


async def test_own_properties_go_before_ours(server: DailyServer, daily: DailyRest) -> None:
    room = await daily.create_room(RoomWish(expires_at=SOON, properties={"enable_chat": True, "exp": 7}))
    assert server.rooms[room.name]["config"]["enable_chat"] is True
    assert server.rooms[room.name]["config"]["exp"] == 7


async def test_a_token_names_its_room_and_ends(server: DailyServer, daily: DailyRest) -> None:
    bot = await daily.token("r", expires_at=SOON, owner=True, user_name="bot")
    visitor = await daily.token("r", expires_at=SOON, owner=False)
    assert server.tokens[bot] == {"room_name": "r", "exp": int(SOON), "is_owner": True, "user_name": "bot"}
    assert server.tokens[visitor] == {"room_name": "r", "exp": int(SOON), "is_owner": False}


@pytest.mark.parametrize("faults", [["429"], ["500"], ["429", "500", "429", "429"]])
async def test_a_rate_limit_and_a_broken_server_are_tried_again(
    server: DailyServer, daily: DailyRest, faults: list[str]
) -> None:
    server.faults.extend(faults)
    room = await daily.create_room(RoomWish(expires_at=SOON))
    assert list(server.rooms) == [room.name]
    assert len(server.asked) == len(faults) + 1


async def test_the_pauses_grow(
    server: DailyServer, daily: DailyRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("runner.providers.rest.asyncio.sleep", sleep)
    monkeypatch.setattr(rest, "PAUSE_S", 0.2)
    server.faults.extend(["429"] * TRIES)
    with pytest.raises(ProviderError, match="429"):
        await daily.delete_room("r")
    waits = [second for second in slept if second >= 0.2]
    assert waits[: TRIES - 1] == [0.4, 0.8, 1.6, 3.2]


async def test_a_lost_answer_makes_no_second_room(server: DailyServer, daily: DailyRest) -> None:
    server.faults.append("late")
    room = await daily.create_room(RoomWish(expires_at=SOON))
    assert list(server.rooms) == [room.name]
    assert [asked.method for asked in server.asked] == ["POST", "POST", "GET"]


async def test_a_name_that_is_taken_gives_that_room(server: DailyServer, daily: DailyRest) -> None:
    first = await daily.create_room(RoomWish(expires_at=SOON, name="mine"))
    assert await daily.create_room(RoomWish(expires_at=SOON, name="mine")) == first


async def test_a_wrong_key_is_reported_at_once_and_not_shown(server: DailyServer, daily: DailyRest) -> None:
    server.faults.append("401")
    with pytest.raises(ProviderError) as error:
        await daily.create_room(RoomWish(expires_at=SOON))
    assert str(error.value) == "Daily: it refused with 401; check the keys (no such key …)"
    assert len(server.asked) == 1


async def test_a_garbage_answer_is_reported(server: DailyServer, daily: DailyRest) -> None:
    server.faults.extend(["garbage", "garbage"])
    with pytest.raises(ProviderError, match="has no room name and URL"):
        await daily.create_room(RoomWish(expires_at=SOON))
    with pytest.raises(ProviderError, match="has no token"):
        await daily.token("r", expires_at=SOON, owner=True)


async def test_a_server_that_hangs_is_left(
    server: DailyServer, daily: DailyRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TRY_S", 0.05)
    server.faults.extend(["hang"] * 10)
    with pytest.raises(ProviderError, match="did not answer in time"):
        await daily.delete_room("r")


async def test_a_room_that_is_gone_already_counts_as_deleted(server: DailyServer, daily: DailyRest) -> None:
    await daily.delete_room("never-there")
    assert [asked.status for asked in server.asked] == [404]
    assert await daily.has_room("never-there") is False


async def test_a_waiting_caller_is_connected(server: DailyServer, daily: DailyRest) -> None:
    await daily.connect_dialin("call", "domain", "sip:a@b")
    assert server.connected == [{"callId": "call", "callDomain": "domain", "sipUri": "sip:a@b"}]


async def test_the_account_is_tried(server: DailyServer, daily: DailyRest) -> None:
    assert await daily.check_account() == "the key is valid; 0 rooms exist"


def test_without_a_key_the_sentence_names_it() -> None:
    with pytest.raises(UsageError, match="DAILY_API_KEY"):
        DailyRest("")


@pytest.mark.parametrize(
    ("url", "name", "address"),
    [
        ("https://you.daily.co/room", "room", "https://you.daily.co/room"),
        (" https://you.daily.co/room/?t=token#x ", "room", "https://you.daily.co/room"),
        ("http://127.0.0.1:8080/room", "room", "http://127.0.0.1:8080/room"),
    ],
)
def test_a_room_is_known_by_its_address(url: str, name: str, address: str) -> None:
    assert (room_at(url).name, room_at(url).url) == (name, address)


@pytest.mark.parametrize("url", ["", "room", "https://you.daily.co/", "http://you.daily.co/r", "https://x/a/b",
                                 "https://[::1/room", "https://x:port/r", "javascript:alert(1)"])  # fmt: skip
def test_a_bad_room_address_is_reported(url: str) -> None:
    with pytest.raises(UsageError, match="DAILY_ROOM_URL"):
        room_at(url)


def test_a_visitor_s_address_carries_the_token() -> None:
    assert room_at("https://you.daily.co/room").visitor_url("a&b") == "https://you.daily.co/room?t=a%26b"
    assert room_at("https://you.daily.co/room").visitor_url(None) == "https://you.daily.co/room"
