"""A Pipecat bot in a Daily room that botrun makes and deletes: Daily's interface is the tests' own server."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

import httpx2
from conftest import BOTS
from daily_server import DOMAIN, KEY, daily_server
from eventually import eventually

from runner.botcode.loader import parse_target
from runner.integrations.pipecat import loading
from runner.server.daily import rooms as daily_rooms
from runner.sessions.session import EndReason
from runner.settings import Settings
from runner.worker.standalone import prepare, stop_helpers

START_S = 30.0


@pytest.mark.parametrize("lost", [False, True])
async def test_the_room_lives_as_long_as_its_call(
    lost: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAILY_API_KEY", KEY)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(daily_rooms, "BACK_S", 0.05)
    settings = Settings(transports=("daily",), port=7999)
    bot = loading.load(parse_target(str(BOTS / "room_bot.py")), settings)
    async with daily_server() as server, httpx2.AsyncClient(trust_env=False, timeout=START_S) as http:
        monkeypatch.setenv("DAILY_API_URL", server.url)
        preparing = asyncio.create_task(prepare(bot, settings))
        host, served = await preparing
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with served.serving(listener, 0.3):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/start"
                answer = (await http.post(url, json={"createDailyRoom": True, "body": {"a": 1}})).json()
                (session,) = host.sessions.active.values()
                await eventually(lambda: bot.module.rooms, START_S, what="the bot's pipeline")
                transport: Any = bot.module.rooms.pop()
                (name,) = server.rooms
                assert answer["dailyRoom"] == transport.room_url == f"{DOMAIN}/{name}"
                assert server.tokens[transport.token]["is_owner"] is True
                assert server.tokens[answer["dailyToken"]]["is_owner"] is False
                assert (transport.args.body, transport.args.cli_args.port) == ({"a": 1}, 7999)
                await eventually(
                    lambda: session.figures.has_pipeline, START_S, what="the pipeline has started"
                )
                await transport.happens("on_participant_joined", {"id": "ann"})
                if lost:
                    await transport.happens("on_error", "the room was deleted")
                else:
                    await transport.happens("on_participant_left", {"id": "ann"}, "leftCall")
                await eventually(lambda: not host.sessions.active, START_S, what="the session has ended")
                assert session.end_reason is (EndReason.CONNECTION_LOST if lost else EndReason.CLIENT_LEFT)
                await eventually(lambda: not server.rooms, START_S, what="the room is deleted")
                assert lost or transport.left == "ann"
        await host.sessions.shut_down(5.0)
        await host.rooms.aclose()
        await stop_helpers(preparing)
