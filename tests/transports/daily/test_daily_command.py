"""`botrun FILE -t daily` and `-d` as processes: what they print, and what Ctrl-C leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from daily_server import DOMAIN, KEY, DailyServer, daily_server
from eventually import eventually

from runner.cli.doctor.trials import daily_checks
from runner.errors import UsageError
from runner.server.daily import check_daily
from runner.server.public.address import check_public
from runner.settings import KEYS, Settings

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent
WITHIN_S = 40


@asynccontextmanager
async def botrun(server: DailyServer, folder: Path, *args: str, **env: str) -> AsyncIterator[Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DAILY_", "BOTRUN_"))}
    given = {"DAILY_API_KEY": KEY, "DAILY_API_URL": server.url, "XDG_STATE_HOME": str(folder), **env}
    command = [sys.executable, str(HERE / "run_with_fake.py"), str(HERE / "conditional_bot.py"), *args]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env={**clean, **given})
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_with(process: Process, word: str) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        while line := (await process.stdout.readline()).decode():
            if word in line:
                return line.strip()
    assert process.stderr is not None
    raise AssertionError((await process.stderr.read()).decode())


async def test_direct_prints_the_visitor_s_address_and_ctrl_c_deletes_the_room(tmp_path: Path) -> None:
    async with daily_server() as server:
        async with botrun(server, tmp_path, "-d") as process:
            result = await line_with(process, "meet the bot at")
            (name,) = server.rooms
            address, _, token = result.removeprefix("meet the bot at ").partition("?t=")
            assert address == f"{DOMAIN}/{name}"
            assert server.tokens[token]["is_owner"] is False
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), WITHIN_S) == 0
        assert not server.rooms
        assert not list(tmp_path.rglob("*.json"))


async def test_ctrl_c_of_a_server_deletes_the_rooms(tmp_path: Path) -> None:
    async with daily_server() as server:
        async with botrun(server, tmp_path, "-t", "daily", "--no-reload", "-p", "0") as process:
            page = (await line_with(process, "talk")).split()[-1]
            async with httpx2.AsyncClient(trust_env=False) as http:
                answer = await http.get(page)
            assert answer.headers["location"].startswith(f"{DOMAIN}/{server.made[0]}?t=")
            server.faults.append("slow")  # beyond what calls elsewhere may take to end
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), WITHIN_S) == 0
        assert not server.rooms


async def test_a_crash_s_room_is_deleted_by_the_next_start(tmp_path: Path) -> None:
    async with daily_server() as server:
        async with botrun(server, tmp_path, "-d") as process:
            await line_with(process, "meet the bot at")
            process.kill()
            await process.wait()
        assert len(server.rooms) == 1
        async with botrun(server, tmp_path, "-d") as process:
            await line_with(process, "meet the bot at")
            await eventually(lambda: server.made[0] not in server.rooms, WITHIN_S)
            assert list(server.rooms) == server.made[1:]
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), WITHIN_S)
        assert not server.rooms


# ------------------------------------------------------------------ what is missing is reported first


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key.env, raising=False)


def test_without_a_key_or_a_room_nothing_begins(no_keys: None) -> None:
    with pytest.raises(UsageError, match="set DAILY_API_KEY in the environment"):
        check_daily({})
    with pytest.raises(UsageError, match="DAILY_SAMPLE_ROOM_URL: 'nonsense'"):
        check_daily({"DAILY_SAMPLE_ROOM_URL": "nonsense"})
    check_daily({"DAILY_API_KEY": "k"})
    check_daily({"DAILY_ROOM_URL": f"{DOMAIN}/room"})


def test_a_public_address_for_daily_alone_needs_its_secret(no_keys: None) -> None:
    settings = Settings(transports=("daily",), proxy="https://bot.example.com")
    with pytest.raises(UsageError, match="DAILY_API_KEY, DAILY_DIALIN_SECRET"):
        check_public(settings, {})
    check_public(settings, {"DAILY_API_KEY": "k", "DAILY_DIALIN_SECRET": "c2VjcmV0"})
    with pytest.raises(UsageError, match="Daily's numbers are set up at Daily"):
        check_public(Settings(transports=("daily",), proxy="https://h", number="+1415"), {})


# ------------------------------------------------------------------ doctor


async def checks() -> list[tuple[str, str, str]]:
    return [(check.what, check.state.name, check.result) async for check in daily_checks()]


async def test_doctor_tries_what_needs_an_account(monkeypatch: pytest.MonkeyPatch, no_keys: None) -> None:
    from fake_daily import FakeDaily

    from runner.transports.daily import library

    monkeypatch.setattr("runner.cli.doctor.trials.HELD_S", 0.05)
    async with daily_server() as server:
        monkeypatch.setenv("DAILY_API_KEY", KEY)
        monkeypatch.setenv("DAILY_API_URL", server.url)
        with FakeDaily() as fake:
            monkeypatch.setattr(library, "load_library", lambda: fake)
            found = await checks()
            assert [(what, state) for what, state, _ in found] == [
                ("Daily account", "OK"), ("Daily room", "OK"), ("Daily call", "OK"), ("Daily room", "OK")
            ]  # fmt: skip
            assert not server.rooms
            fake.join_error = "NotAllowed"
            found = await checks()
        assert [state for _, state, _ in found] == ["OK", "OK", "FAIL", "OK"]
        assert "the token is not valid for this room" in found[2][2]
        assert not server.rooms
        server.faults.append("401")
        assert [state for _, state, _ in await checks()] == ["FAIL"]


async def test_doctor_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch, no_keys: None) -> None:
    assert await checks() == [
        (
            "Daily keys",
            "FAIL",
            "DAILY_API_KEY is not set, so no room can be created. Copy it from Daily's dashboard",
        )
    ]
    monkeypatch.setenv("DAILY_ROOM_URL", f"{DOMAIN}/mine")
    assert [state for _, state, _ in await checks()] == ["OK", "NOTE"]
