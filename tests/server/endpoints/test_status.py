"""What `/status` shows of the running calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType

from runner.arguments import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.server.host import Host
from runner.sessions.registry import Sessions
from runner.settings import Settings
from runner.testing import run_virtual


def test_a_call_reports_its_turns_and_the_parts_of_the_last_one() -> None:
    async def forever(args: RunnerArguments) -> None:
        await asyncio.Event().wait()

    async def look() -> dict[str, object]:
        bot = LoadedBot(Path("my_bot.py"), "bot", forever, ModuleType("bot"))
        host = Host(Settings(), bot, Sessions(bot), ("twilio",))
        session = host.sessions.start("twilio", RunnerArguments(session_id="0123456789"))
        for seconds in (0.5, 0.6, 1.5):
            session.figures.turn(seconds, {"pause": seconds - 0.1, "line": 0.1})
        found = await host.describe()
        session._task.cancel()
        await session.ended.wait()
        assert (await host.describe())["turns"] == found["turns"], (
            "the call is over, its turns are remembered"
        )
        return found

    found = run_virtual(look())
    assert found["turns"] == {"n": 3, "p50_ms": 600, "p95_ms": 1500}
    (call,) = found["sessions"]  # type: ignore[misc]
    assert call["id"] == "012345"
    assert call["last_turn_ms"] == {"pause": 1400, "line": 100}  # type: ignore[index]
