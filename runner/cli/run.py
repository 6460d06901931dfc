"""`botrun run FILE`: load the bot and serve it until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.settings import DEFAULTS, SETTINGS, Settings

if TYPE_CHECKING:
    import socket

    from runner.botcode.loader import BotTarget, LoadedBot
    from runner.server.daily.rooms import DailyRooms, Opened
    from runner.sessions.registry import Sessions
    from runner.worker.shutdown import Shutdown

FAILED = 1

DIRECT_END_S = 6.0
DIRECT_DEADLINE_S = 8.0
"""After Ctrl-C with `-d`: time (s) for the call to end, and deadline (s) including deletion of the room."""

_verbose = False


def wants_traceback() -> bool:
    """Whether `-v` was given, according to the settings read so far."""
    return _verbose


def option(name: str) -> Any:
    """The command-line option of a setting, from the settings table."""
    setting = SETTINGS[name]
    default = DEFAULTS[name]
    shown = "" if default in ((), None, False) else f" [default: {default}]"
    return typer.Option(
        *setting.flags,
        metavar=setting.metavar,
        help=f"{setting.help} [{setting.env}]{shown}",
        show_default=False,
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"botrun {version('botrun')}")
        raise typer.Exit


_VERSION = typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")


def run(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The bot's file, or FILE:function.")],
    transports: Annotated[list[str] | None, option("transports")] = None,
    direct: Annotated[bool | None, option("direct")] = None,
    host: Annotated[str | None, option("host")] = None,
    port: Annotated[str | None, option("port")] = None,
    https: Annotated[bool | None, option("https")] = None,
    open_page: Annotated[bool | None, option("open_page")] = None,
    body: Annotated[str | None, option("body")] = None,
    ice_servers: Annotated[list[str] | None, option("ice_servers")] = None,
    allow_origins: Annotated[list[str] | None, option("allow_origins")] = None,
    proxy: Annotated[str | None, option("proxy")] = None,
    tunnel: Annotated[bool | None, option("tunnel")] = None,
    tunnel_via: Annotated[str | None, option("tunnel_via")] = None,
    public_port: Annotated[str | None, option("public_port")] = None,
    number: Annotated[str | None, option("number")] = None,
    accept_unsigned_webhooks: Annotated[bool | None, option("accept_unsigned_webhooks")] = None,
    reload: Annotated[bool | None, option("reload")] = None,
    watch: Annotated[list[str] | None, option("watch")] = None,
    record: Annotated[bool | None, option("record")] = None,
    record_content: Annotated[str | None, option("record_content")] = None,
    verbose: Annotated[bool | None, option("verbose")] = None,
    version: Annotated[bool, _VERSION] = False,
) -> int:
    """Run the bot until Ctrl-C. Arguments after -- are passed to the bot."""
    flags = {
        "transports": transports,
        "direct": direct,
        "host": host,
        "port": port,
        "https": https,
        "open_page": open_page,
        "body": body,
        "ice_servers": ice_servers,
        "allow_origins": allow_origins,
        "proxy": proxy,
        "tunnel": tunnel,
        "tunnel_via": tunnel_via,
        "public_port": public_port,
        "number": number,
        "accept_unsigned_webhooks": accept_unsigned_webhooks,
        "reload": reload,
        "watch": watch,
        "record": record,
        "record_content": record_content,
        "verbose": verbose,
    }
    return start(file, flags, tuple(ctx.obj or ()))


def start(file: str, flags: Mapping[str, Any], bot_args: tuple[str, ...] = ()) -> int:
    """Check flags and settings, and open the port, before loading anything heavy."""
    global _verbose
    _verbose = bool(flags.get("verbose"))
    from runner.botcode.loader import parse_target
    from runner.cli.listen import address_of, open_listener
    from runner.settings import find_dotenv, read_dotenv, resolve
    from runner.settings.transports import choose_transports

    target = parse_target(file)
    dotenv_path = find_dotenv(target.path)
    dotenv = read_dotenv(dotenv_path)
    settings = replace(resolve(flags, dotenv), bot_args=bot_args)
    _verbose = settings.verbose
    check(settings, dotenv)
    transports = choose_transports(settings.transports)
    configure_logs(settings)
    warn_of_dotenv(dotenv, target.path)
    if settings.direct:
        return _run_direct(target, settings, dotenv)
    with contextlib.ExitStack() as stack:
        if settings.https:
            from runner.server.wire.tls import key_file, with_https

            settings = with_https(settings)
        listener = stack.enter_context(open_listener(settings.host, settings.port))
        settings = replace(settings, transports=transports, port=address_of(listener)[1])
        if settings.https:
            stack.enter_context(key_file(settings))
        if settings.reload:
            public = stack.enter_context(_public_listener(settings)) if is_open(settings) else None
            return _supervise(file, target.path, settings, flags, listener, public)
        from runner.cli.banner import Banner
        from runner.worker.standalone import run_worker

        return run_worker(listener, target, settings, dotenv, announce=Banner(dotenv_path).show)


def is_open(settings: Settings) -> bool:
    """Whether the settings ask for a public address."""
    return bool(settings.proxy or settings.tunnel or settings.tunnel_via or settings.number)


def check(settings: Settings, dotenv: Mapping[str, str]) -> None:
    """Raise `BotrunError` if something is missing for a run with these settings."""
    if is_open(settings):
        from runner.server.public.address import check_public

        check_public(settings, dotenv)
    if settings.direct or "daily" in settings.transports:
        from runner.server.daily import check_daily

        check_daily(dotenv)


def _supervise(
    file: str,
    bot: Path,
    settings: Settings,
    flags: Mapping[str, Any],
    listener: socket.socket,
    public: socket.socket | None,
) -> int:
    import asyncio

    from runner.settings.table import FIXED
    from runner.supervisor import Supervisor
    from runner.supervisor.rollout import RunPlan

    plan = RunPlan(
        typed=file,
        bot=bot,
        flags=dict(flags),
        fixed={name: getattr(settings, name) for name in FIXED},
        transports=settings.transports,
        program=(sys.executable, "-P", "-m", "runner.cli.fork_server"),
        watch=[Path(path) for path in settings.watch],
        load_secs=settings.reload_secs,
        is_public=public is not None,
    )

    async def run() -> int:
        if not _is_terminal():
            return await Supervisor(plan, listener, public=public).run()
        from runner.cli.terminal import Terminal

        terminal = Terminal(settings)
        supervisor = Supervisor(plan, listener, terminal.output, public)
        async with terminal.showing(supervisor.view):
            return await supervisor.run()

    return asyncio.run(run())


def _is_terminal() -> bool:
    """Whether input and output are a terminal and this is not CI."""
    from runner.settings import is_set

    return sys.stdin.isatty() and sys.stdout.isatty() and not is_set("CI")


def _public_listener(settings: Settings) -> socket.socket:
    from runner.server.public.address import open_public_listener

    return open_public_listener(settings)


def warn_of_dotenv(dotenv: Mapping[str, str], bot: Path) -> None:
    from runner.settings import dotenv_notes, unknown_variables

    for sentence in [*dotenv_notes(bot), *unknown_variables(dotenv)]:
        logging.getLogger(__name__).warning(sentence)


def configure_logs(settings: Settings) -> None:
    from runner import logs
    from runner.settings import is_set

    # https://no-color.org
    logs.configure(style=settings.log, verbose=settings.verbose, colour=not is_set("NO_COLOR"))


# ------------------------------------------------------------------ -d


def _run_direct(target: BotTarget, settings: Settings, dotenv: Mapping[str, str]) -> int:
    """Join a Daily room without a server: one room, one bot, one call. Returns the exit status."""
    from runner.integrations.pipecat import loading
    from runner.settings import enter_dotenv
    from runner.worker.standalone import run_loop

    loading.prepare(target.path)
    enter_dotenv(dotenv)
    bot = loading.load(target, settings)
    failed = False

    async def serve() -> None:
        nonlocal failed
        failed = await _serve_room(bot, settings)

    run_loop(serve())
    return FAILED if failed else 0


async def _serve_room(bot: LoadedBot, settings: Settings) -> bool:
    """Serve one room; return whether the bot failed."""
    from runner.server.daily.rooms import DailyRooms, RoomAsk
    from runner.server.host import Host
    from runner.services.common import warmup
    from runner.sessions.recording import make_recorder
    from runner.sessions.registry import SessionLimits, Sessions
    from runner.worker.shutdown import Shutdown

    shutdown = Shutdown()
    shutdown.deadline_s = DIRECT_DEADLINE_S + settings.shutdown_secs
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
    await sessions.shut_down(DIRECT_END_S, grace_s)


async def _close(rooms: DailyRooms) -> None:
    from runner.services.common import warmup

    await rooms.aclose()
    await warmup.stop_all()
