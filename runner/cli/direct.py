"""`botrun FILE -d`: join a Daily room without a server: one room, one bot, one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from runner.botcode.loader import BotTarget, LoadedBot
from runner.integrations.pipecat import loading
from runner.settings import Settings, enter_dotenv
from runner.worker.shutdown import Shutdown

if TYPE_CHECKING:
    from runner.server.daily.rooms import DailyRooms, Opened
    from runner.sessions.registry import Sessions

END_S = 6.0
DEADLINE_S = 8.0
"""After Ctrl-C, the longest wait (s) for the room to be deleted."""

FAILED = 1


def run_direct(target: BotTarget, settings: Settings, dotenv: Mapping[str, str]) -> int:
    """Run one call in a new room. Returns the exit status."""
    from runner.worker.standalone import run_loop

    loading.prepare(target.path)
    enter_dotenv(dotenv)
    bot = loading.load(target)
    failed = False

    async def serve() -> None:
        nonlocal failed
        failed = await _serve(bot, settings)

    run_loop(serve())
    return FAILED if failed else 0


async def _serve(bot: LoadedBot, settings: Settings) -> bool:
    """Returns whether the bot failed."""
    from runner.server.daily.rooms import DailyRooms, RoomAsk
    from runner.server.host import Host
    from runner.services.common import warmup
    from runner.sessions.recording import make_recorder
    from runner.sessions.registry import SessionLimits, Sessions

    shutdown = Shutdown()
    shutdown.deadline_s = DEADLINE_S + settings.shutdown_secs
    sessions = Sessions(bot, SessionLimits(call_s=settings.max_call_secs), make_recorder(settings, bot))
    rooms = DailyRooms(Host(settings, bot, sessions, ("daily",)))
    with shutdown.capture():
        try:
            rooms.sweep_soon()
            await warmup.start_all()
            opened = await rooms.open(RoomAsk())
            typer.echo(f"meet the bot at {opened.address}")
            await _see_through(opened, sessions, shutdown, settings.shutdown_secs)
            return opened.session.error is not None
        finally:
            await _close(rooms)


async def _see_through(opened: Opened, sessions: Sessions, shutdown: Shutdown, grace_s: float) -> None:
    from runner.eventloop.waiting import first_of

    await first_of(opened.session.ended.wait(), shutdown.requested.wait())
    await sessions.shut_down(END_S, grace_s)


async def _close(rooms: DailyRooms) -> None:
    from runner.services.common import warmup

    await rooms.aclose()
    await warmup.stop_all()
