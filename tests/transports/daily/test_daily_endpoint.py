"""The Daily door: real HTTP at both sides, a fake of daily-python in the room."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import numpy as np
import pytest
from daily_server import DOMAIN, KEY, DailyServer, daily_server
from eventually import eventually
from fake_daily import FakeDaily

from runner.botcode.loader import load_bot, parse_target
from runner.callers.webrtc import WebRTCCaller
from runner.providers import rest
from runner.server.daily import rooms as daily_rooms
from runner.server.daily.rooms import Made, RoomJournal
from runner.server.host import Host
from runner.sessions.session import EndReason
from runner.settings import Settings, state_folder
from runner.transports.daily import transport as transport_module
from runner.worker.standalone import prepare, stop_helpers

BOT = Path(__file__).parent / "conditional_bot.py"


@dataclass
class Run:
    """A served bot."""

    host: Host
    url: str
    http: httpx2.AsyncClient

    async def get(self, path: str = "/", **headers: str) -> httpx2.Response:
        return await self.http.get(self.url + path, headers=headers)

    async def start(self, **asked: Any) -> httpx2.Response:
        return await self.http.post(f"{self.url}/start", json=asked)

    @property
    def sessions(self) -> list[Any]:
        return list(self.host.sessions.active.values())

    @property
    def book(self) -> RoomJournal:
        return RoomJournal(state_folder(self.host.settings))


@contextlib.asynccontextmanager
async def running(*transports: str, bot: Path = BOT, **settings: Any) -> AsyncIterator[Run]:
    loaded = load_bot(parse_target(str(bot)))
    chosen = Settings(transports=transports, **settings)
    preparing = asyncio.create_task(prepare(loaded, chosen))
    host, server = await preparing
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with server.serving(listener, 0.3), httpx2.AsyncClient(trust_env=False, timeout=15) as http:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                yield Run(host, url, http)
            finally:
                await host.sessions.shut_down(5.0)
                if host.rooms is not None:
                    await host.rooms.aclose()
                await stop_helpers(preparing)


@pytest.fixture
async def server() -> AsyncIterator[DailyServer]:
    async with daily_server() as server:
        yield server


@pytest.fixture
def daily(server: DailyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDaily]:
    for name in ("DAILY_ROOM_URL", "DAILY_SAMPLE_ROOM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DAILY_API_KEY", KEY)
    monkeypatch.setenv("DAILY_API_URL", server.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(rest, "PAUSE_S", 0.001)
    monkeypatch.setattr(daily_rooms, "BACK_S", 0.05)
    monkeypatch.setattr(daily_rooms, "BOT_GRACE_S", 0.05)
    with FakeDaily() as fake:
        monkeypatch.setattr(transport_module, "load_library", lambda: fake)
        yield fake


# ------------------------------------------------------------------ the conditional bot, everywhere


async def test_the_conditional_bot_talks_in_a_daily_room(server: DailyServer, daily: FakeDaily) -> None:
    async with running("daily") as run:
        answer = await run.get()
        assert answer.status_code == 303
        (name,) = server.rooms
        room = f"{DOMAIN}/{name}"
        address = urlsplit(answer.headers["location"])
        assert f"{address.scheme}://{address.netloc}{address.path}" == room
        await eventually(lambda: daily.rooms.get(room))
        (client,) = daily.clients
        visitor = parse_qs(address.query)["t"][0]
        assert server.tokens[visitor]["is_owner"] is False
        assert server.tokens[str(client.token)]["is_owner"] is True
        assert {token["room_name"] for token in server.tokens.values()} == {name}
        assert all(time.time() < token["exp"] < time.time() + 8000 for token in server.tokens.values())
        person = daily.visit(room)
        await eventually(lambda: len(daily.microphones[0].pcm) > 24000 * 2 * 0.15)
        assert np.abs(np.frombuffer(daily.microphones[0].pcm, "<i2").astype(int)).max() > 1000
        (session,) = run.sessions
        person.leave()
        await eventually(lambda: not run.sessions)
        assert session.end_reason is EndReason.CLIENT_LEFT
        assert not server.rooms
        assert not run.book.read()
        assert client.released


async def test_the_conditional_bot_talks_in_a_browser_unchanged(daily: FakeDaily) -> None:
    async with running("webrtc", "daily") as run, WebRTCCaller(run.url) as caller:
        await eventually(
            lambda: np.abs(np.frombuffer(caller.pcm_heard(), "<i2").astype(int)).max(initial=0) > 1000
        )
        assert [session.kind for session in run.sessions] == ["webrtc"]


async def test_the_conditional_bot_refuses_what_it_does_not_know(daily: FakeDaily) -> None:
    from runner import WebSocketRunnerArguments

    bot = load_bot(parse_target(str(BOT)))
    with pytest.raises(RuntimeError, match="cannot talk over WebSocketRunnerArguments"):
        await bot.function(WebSocketRunnerArguments(websocket=None))  # type: ignore[arg-type]


# ------------------------------------------------------------------ rooms come and go


async def test_who_loads_the_page_again_is_not_hung_up_on(
    daily: FakeDaily, server: DailyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_rooms, "BACK_S", 0.4)
    async with running("daily") as run:
        await run.get()
        room = f"{DOMAIN}/{server.made[0]}"
        await eventually(lambda: daily.rooms.get(room))
        daily.visit(room, "first").leave()
        await asyncio.sleep(0.1)
        second = daily.visit(room, "second")
        await asyncio.sleep(0.6)
        assert len(run.sessions) == 1
        second.leave()
        await eventually(lambda: not run.sessions)


async def test_the_end_of_the_run_deletes_the_rooms_of_the_calls_under_way(
    daily: FakeDaily, server: DailyServer
) -> None:
    async with running("daily") as run:
        for _ in range(3):
            await run.get()
        assert len(server.rooms) == 3
        assert len(run.book.read()) == 3
    assert not server.rooms
    assert not run.book.read()


async def test_a_room_that_could_not_be_deleted_is_deleted_at_the_next_start(
    daily: FakeDaily, server: DailyServer
) -> None:
    async with running("daily") as run:
        await run.get()
        server.faults.extend(["500"] * 10)
    assert len(server.rooms) == 1
    (made,) = run.book.read()
    server.faults.clear()
    # As after a crash: the process that made it is no more.
    run.book.remove(made.name)
    run.book.add(Made(made.name, made.expires_at, pid=1, birth="long ago"))
    run.book.add(Made("expired", time.time() - 1, pid=1, birth="long ago"))
    run.book.add(Made("of-another-run", made.expires_at))
    async with running("daily") as run:
        assert run.host.rooms is not None
        run.host.rooms.sweep_soon()
        await eventually(lambda: [entry.name for entry in run.book.read()] == ["of-another-run"])
    assert not server.rooms


async def test_a_bot_that_fails_leaves_no_room(daily: FakeDaily, server: DailyServer, tmp_path: Path) -> None:
    bot = tmp_path / "failing.py"
    bot.write_text("async def bot(args):\n    raise ValueError('no voice today')\n")
    async with running("daily", bot=bot) as run:
        await run.get()
        await eventually(lambda: not run.sessions)
        assert server.made
        assert not server.rooms


async def test_a_room_that_cannot_be_joined_ends_the_call(daily: FakeDaily, server: DailyServer) -> None:
    daily.join_error = "Connection(NotAllowed)"
    async with running("daily") as run:
        await run.get()
        (session,) = run.sessions
        await eventually(lambda: not run.sessions)
        assert session.end_reason is EndReason.CONNECTION_LOST
        assert not server.rooms


@pytest.mark.long
async def test_a_hundred_calls_leave_no_room_thread_or_task(daily: FakeDaily, server: DailyServer) -> None:
    async with running("daily") as run:
        for _ in range(10):
            answers = await asyncio.gather(*(run.start() for _ in range(10)))
            assert {answer.status_code for answer in answers} == {200}
            rooms = [answer.json()["dailyRoom"] for answer in answers]
            for room in rooms:
                await eventually(lambda room=room: daily.rooms.get(room))  # type: ignore[misc]
                daily.visit(room).leave()
            await eventually(lambda: not run.sessions, 20)
        assert len(set(server.made)) == 100
        assert not server.rooms
        assert not run.book.read()
        assert all(client.released for client in daily.clients)
    assert not [thread for thread in threading.enumerate() if thread.name == "daily call"]


async def test_a_room_of_one_s_own_is_used_and_kept(
    daily: FakeDaily, server: DailyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILY_SAMPLE_ROOM_URL", f"{DOMAIN}/mine")
    async with running("daily") as run:
        answer = await run.get()
        # Both tokens, the bot's and the visitor's, are asked for at once.
        assert re.fullmatch(rf"{re.escape(DOMAIN)}/mine\?t=token-[01]", answer.headers["location"])
        assert not server.made
    assert not [asked for asked in server.asked if asked.method == "DELETE"]


async def test_a_public_room_needs_no_key(
    daily: FakeDaily, server: DailyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAILY_API_KEY")
    monkeypatch.setenv("DAILY_ROOM_URL", f"{DOMAIN}/open")
    async with running("daily") as run:
        assert (await run.get()).headers["location"] == f"{DOMAIN}/open"
        await eventually(lambda: daily.clients and daily.clients[0].url)
        assert daily.clients[0].token is None
    assert not server.asked


# ------------------------------------------------------------------ who asks


async def test_pipecat_s_clients_are_answered_in_their_words(daily: FakeDaily, server: DailyServer) -> None:
    async with running("webrtc", "daily") as run:
        asked = {"createDailyRoom": True, "dailyRoomProperties": {"enable_chat": True}, "body": {"a": 1}}
        response = (await run.start(**asked)).json()
        (session,) = run.sessions
        assert response["sessionId"] == session.id
        assert response["dailyRoom"] == f"{DOMAIN}/{server.made[0]}"
        assert server.tokens[response["dailyToken"]]["is_owner"] is False
        assert session.args.body == {"a": 1}
        config = server.rooms[server.made[0]]["config"]
        assert config["enable_chat"] is True
        assert "enable_dialout" not in config


async def test_a_token_has_the_properties_that_were_asked_for(daily: FakeDaily, server: DailyServer) -> None:
    async with running("daily") as run:
        wanted = {"user_name": "Ann", "is_owner": False, "enable_recording": "cloud", "room_name": "other"}
        visitor = (await run.start(dailyMeetingTokenProperties=wanted)).json()["dailyToken"]
        (room,) = server.made
        (bot,) = [token for token in server.tokens if token != visitor]
        of_visitor, of_bot = server.tokens[visitor], server.tokens[bot]
        assert of_visitor["room_name"] == of_bot["room_name"] == room
        assert of_visitor["enable_recording"] == of_bot["enable_recording"] == "cloud"
        assert (of_visitor["user_name"], of_bot.get("user_name")) == ("Ann", None)
        assert (of_visitor["is_owner"], of_bot["is_owner"]) == (False, True)
        assert (await run.start(dailyMeetingTokenProperties=[1])).status_code == 400


@pytest.mark.parametrize(("transports", "asked", "daily_s"), [
    (("webrtc", "daily"), {}, False),
    (("daily", "webrtc"), {}, True),
    (("daily",), {"transport": "webrtc"}, False),
    (("webrtc", "daily"), {"transport": "daily"}, True),
])  # fmt: skip
async def test_start_is_answered_by_the_door_that_is_meant(
    daily: FakeDaily, transports: tuple[str, ...], asked: dict[str, Any], daily_s: bool
) -> None:
    async with running(*transports) as run:
        assert ("dailyRoom" in (await run.start(**asked)).json()) is daily_s


async def test_a_call_out_gets_a_room_that_may_call(daily: FakeDaily, server: DailyServer) -> None:
    async with running("daily") as run:
        await run.start(body={"dialout_settings": [{"phoneNumber": "+14155550100"}]})
        assert server.rooms[server.made[0]]["config"]["enable_dialout"] is True


@pytest.mark.parametrize("headers", [{"sec-fetch-dest": "image"}, {"sec-purpose": "prefetch;prerender"},
                                     {"purpose": "prefetch"}])  # fmt: skip
async def test_only_a_person_s_visit_opens_a_room(
    daily: FakeDaily, server: DailyServer, headers: dict[str, str]
) -> None:
    async with running("daily") as run:
        assert (await run.get(**headers)).status_code == 403
        assert (await run.http.head(run.url)).status_code == 403
        assert not server.made


async def test_what_daily_answers_is_passed_to_the_requester(daily: FakeDaily, server: DailyServer) -> None:
    async with running("daily", max_sessions=1) as run:
        server.faults.extend(["401", "ok"])
        answer = await run.get()
        assert answer.status_code == 502
        assert "it refused with 401; check the keys" in answer.text
        assert KEY not in answer.text
        assert (await run.start(dailyRoomProperties=[1])).status_code == 400
        assert (await run.http.post(f"{run.url}/start", content=b"{")).status_code == 400
        assert (await run.start()).status_code == 200
        assert (await run.start()).status_code == 503
        assert len(server.rooms) == 1


async def test_the_page_stands_where_daily_is_not_the_default(daily: FakeDaily) -> None:
    async with running("webrtc", "daily") as run:
        assert "<title>botrun</title>" in (await run.get()).text
