"""The serving process: load the bot and accept calls on a given socket until it is stopped.

The listening socket is passed in, so that a parent process can keep it open across reloads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.botcode import location
from runner.botcode.loader import BotTarget, LoadedBot
from runner.errors import BotrunError
from runner.eventloop.waiting import first_of
from runner.integrations.pipecat import loading
from runner.services.common import warmup
from runner.sessions.recording import make_recorder
from runner.sessions.registry import SessionLimits, Sessions
from runner.sessions.tracing import make_tracing
from runner.settings import Settings, enter_dotenv
from runner.worker import pause_gc, resume_gc
from runner.worker.loop_watchdog import LoopGuard, warning_of_unawaited_coroutines
from runner.worker.shutdown import DEADLINE_S, Shutdown

if TYPE_CHECKING:
    from runner.server.host import Host
    from runner.server.wire.uvicorn_server import Server

logger = logging.getLogger(__name__)

# Limits (s) of the stages; together at most `shutdown.DEADLINE_S`. A stage that takes too long is abandoned.
END_SESSIONS_S = 0.9
CLOSE_CONNECTIONS_S = 0.3
STOP_HELPERS_S = 0.3

# With a public address, calls are hung up at the provider and the number is restored.
PUBLIC_END_SESSIONS_S = 5.5
PUBLIC_DEADLINE_S = 12.0

# The rooms of running calls are deleted at Daily.
ROOMS_END_SESSIONS_S = 4.0
ROOMS_DEADLINE_S = 5.0

Announce = Callable[["Host"], None]


def run_worker(
    listener: socket.socket,
    target: BotTarget,
    settings: Settings,
    dotenv: Mapping[str, str],
    *,
    announce: Announce,
) -> int:
    """Serve the bot until a signal. `announce` is called with the `Host` when calls are accepted.

    Returns the exit status.

    Raises:
        BotLoadError: the bot cannot be loaded.
    """
    pause_gc()
    loading.prepare(target.path)
    enter_dotenv(dotenv)
    bot = loading.load(target, settings)
    run_loop(_serve(listener, bot, settings, announce))
    return 0


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in a new event loop.

    A task that raises KeyboardInterrupt or SystemExit stops asyncio's loop. A bot's task must not end other
    calls that way, so the loop is run again.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except (KeyboardInterrupt, SystemExit) as error:
                if task.done():
                    raise
                place = location.describe(error)
                logger.error("a task of the bot raised %s; other calls continue", place)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(listener: socket.socket, bot: LoadedBot, settings: Settings, announce: Announce) -> None:
    shutdown = Shutdown()
    with shutdown.capture():
        preparing = asyncio.create_task(prepare(bot, settings), name="preparing")
        try:
            if await first(preparing, shutdown.requested.wait()):
                await _serve_until(shutdown, listener, *preparing.result(), announce)
        finally:
            await stop_helpers(preparing)


async def prepare(bot: LoadedBot, settings: Settings) -> tuple[Host, Server]:
    """Start helper processes while a thread imports; then whatever the imported parts registered."""
    early = asyncio.create_task(warmup.start_all(), name="helpers")
    host, server = await asyncio.to_thread(_build, bot, settings)
    # Newly registered parts do not wait for the helpers.
    await warmup.start_all()
    await early
    return host, server


def _build(bot: LoadedBot, settings: Settings) -> tuple[Host, Server]:
    """Import and build everything slow. What an endpoint or the VAD needs before its first call is registered
    for the warm-up."""
    from runner.server.app import create_app
    from runner.server.host import Host
    from runner.server.wire.uvicorn_server import Server

    if settings.services_from:
        from runner.playback.bot import with_recorded_services

        bot = with_recorded_services(bot, Path(settings.services_from), settings.live_tools)
    limits = SessionLimits(sessions=settings.max_sessions, call_s=settings.max_call_secs)
    sessions = Sessions(bot, limits, make_recorder(settings, bot), make_tracing())
    host = Host(settings, bot, sessions, settings.transports)
    server = Server(create_app(host), settings.certificate)
    if "runner.vad.silero" in sys.modules:
        from runner.vad import preload

        warmup.register("vad", lambda: asyncio.to_thread(preload))
    if "runner.vad.smart_turn" in sys.modules:
        from runner.vad import smart_turn

        warmup.register("smart turn", lambda: asyncio.to_thread(smart_turn.preload))
    return host, server


async def first(preparing: asyncio.Task[Any], stop: Coroutine[Any, Any, Any]) -> bool:
    """Wait until `preparing` is done; False if `stop` comes first."""
    await first_of(asyncio.wait({preparing}), stop)
    if not preparing.done():
        return False
    _check(preparing)
    return True


def _check(preparing: asyncio.Task[Any]) -> None:
    error: BaseException | None = preparing.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BotrunError):
        raise error
    if error is not None:
        raise BotrunError(f"a helper of the bot could not be started: {error}") from error


async def _serve_until(
    shutdown: Shutdown, listener: socket.socket, host: Host, server: Server, announce: Announce
) -> None:
    from runner.server.public.public_side import PublicSide

    end_sessions_s, public = time_to_end(host, shutdown), PublicSide(host)
    opening = asyncio.create_task(public.open(), name="opening the public address")
    guard = LoopGuard(host.bot.path, host.sessions)
    async with server.serving(listener, CLOSE_CONNECTIONS_S):
        try:
            if await first(opening, shutdown.requested.wait()):
                resume_gc()
                announce(host)
                with guard.watching(), warning_of_unawaited_coroutines(host.bot.path):
                    await shutdown.requested.wait()
            await end_sessions(host, end_sessions_s)
        finally:
            opening.cancel()
            await asyncio.wait({opening})
            await public.aclose()


async def end_sessions(host: Host, within_s: float, stopping: str = "stopping") -> None:
    """End all calls. Ports stay open meanwhile: new calls are refused, requests of active ones are
    answered."""
    grace_s, count = host.settings.shutdown_secs, len(host.sessions.active)
    if count and grace_s:
        calls = "1 call has" if count == 1 else f"{count} calls have"
        stopping += f": {calls} up to {grace_s:g} s to end (BOTRUN_SHUTDOWN_SECS)"
    logger.info("%s", stopping)
    await host.sessions.shut_down(within_s, grace_s)


def time_to_end(host: Host, shutdown: Shutdown) -> float:
    """Time (s) for cancelled calls to end; longer if a provider must be notified."""
    from runner.server.public.address import is_public

    deadline_s, end_s = DEADLINE_S, END_SESSIONS_S
    if is_public(host.settings):
        deadline_s, end_s = PUBLIC_DEADLINE_S, PUBLIC_END_SESSIONS_S
    elif host.rooms is not None and host.rooms.can_make:
        deadline_s, end_s = ROOMS_DEADLINE_S, ROOMS_END_SESSIONS_S
    shutdown.deadline_s = host.settings.shutdown_secs + deadline_s
    return end_s


async def stop_helpers(preparing: asyncio.Task[tuple[Host, Server]]) -> None:
    preparing.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_HELPERS_S):
            await warmup.stop_all()
