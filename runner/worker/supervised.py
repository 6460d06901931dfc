"""A worker under a supervisor: load the bot, say how that went, accept when told to, leave when replaced.

From the supervisor:
    {"do": "accept", "public": {…}|null}    take calls now, at this public address, too
    {"do": "retire"}                    take no more: what can move moves, the rest is finished
    {"do": "take", "call": {…}}         a conversation from older code; answered by "taken"
    {"do": "taken", "key": …}           the newer worker has it
    {"do": "code", "failure": {…}|null} how the code on disk stands
    {"do": "look"}                      answered by "state"
    {"do": "past", "tally": …, "workers": […]}     what the workers before counted, who have ended
    {"do": "last", "worker": …, "tally": …}        what one counted that ends now
    {"do": "call", "function": …}       call module:function with the `Host`
To the supervisor:
    {"is": "loaded", "modules": […]}    the bot has been imported cleanly, and all is ready
    {"is": "failed", "failure": {…}}    it has not
    {"is": "accepting", "facts": {…}}   calls are taken
    {"is": "modules", "modules": […], "written": […]}
    {"is": "held"}                      after "retire": from now on the newer code answers all turns
    {"is": "moving", "call": {…}}       to be handed to the newer worker
    {"is": "taken", "key": …}
    {"is": "state", "state": {…}}       what /status answers
    {"is": "figures", "tally": {…}, "last": …}     what it has counted; "last": it ends
    {"is": "bot failed", "failure": {…}, "session": …}
    {"is": "left out", "session": …, "what": […]}
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner import logs
from runner.botcode.explain import BotCrashError, is_users_file
from runner.botcode.failure import failure_of
from runner.botcode.loader import BotTarget, LoadedBot, load_bot, parse_target
from runner.errors import BotrunError
from runner.eventloop.ids import become
from runner.eventloop.json_channel import Channel, encode
from runner.sessions.session import EndReason
from runner.settings import Settings, enter_dotenv, find_dotenv, is_set, read_dotenv, resolve
from runner.supervisor.loading import FIXED
from runner.supervisor.processes import END_AT_ONCE
from runner.worker import gc_control as garbage
from runner.worker.loop_watchdog import LoopGuard, telling_what_was_not_awaited
from runner.worker.shutdown import Shutdown
from runner.worker.standalone import CLOSE_CONNECTIONS_S, first, prepare, run_loop, stop_helpers, time_to_end

if TYPE_CHECKING:
    from runner.server.host import Host
    from runner.server.public.public_side import PublicSide
    from runner.server.wire.uvicorn_server import Server
    from runner.worker.fork_server import Birth

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
LAST_WORD_S = 0.05
MOST_WRITTEN = 1000

_written: set[str] = set()


def run_supervised(birth: Birth) -> int:
    """The life of a worker. Returns its exit status."""
    become(birth.job["worker"])
    target = Path(birth.job["file"])
    with open(birth.job["trace"], "wb") as trace:
        faulthandler.register(signal.SIGUSR1, trace, all_threads=False)
        try:
            settings, bot = _load(birth.job)
        except BotrunError as error:
            failure = failure_of(error, crashed=isinstance(error, BotCrashError))
            birth.channel.sendall(
                encode({"is": "failed", "failure": failure.as_dict(), "modules": modules_of(target)})
            )
            return 1
        finally:
            faulthandler.unregister(signal.SIGUSR1)
    run_loop(SupervisedWorker(birth, settings, bot).run())
    return 0


def _load(job: dict[str, Any]) -> tuple[Settings, LoadedBot]:
    settings, target = settings_of(job)
    sys.addaudithook(_note_writing)
    return settings, load_bot(target)


def settings_of(job: dict[str, Any]) -> tuple[Settings, BotTarget]:
    """As they are now, save those that the run began with. What `.env` says is set for this process."""
    target = parse_target(job["typed"])
    dotenv_path = find_dotenv(target.path)
    dotenv = read_dotenv(dotenv_path)
    settings = resolve(job["flags"], dotenv)
    fixed = {name: job["fixed"][name] for name in FIXED if name in job["fixed"]}
    for name in ("transports", "certificate"):
        fixed[name] = tuple(fixed[name])
    settings = replace(settings, **fixed)
    logs.configure(style=settings.log, verbose=settings.verbose, colour=not is_set("NO_COLOR"))
    enter_dotenv(dotenv)
    return settings, target


def _note_writing(event: str, args: tuple[Any, ...]) -> None:
    """What the bot writes itself is no edit of its code (`open`: path, mode, flags)."""
    if event == "open" and len(args) > 2 and isinstance(args[0], str) and len(_written) < MOST_WRITTEN:
        flags = args[2]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            _written.add(os.path.abspath(args[0]))


def modules_of(bot: Path) -> list[str]:
    """The files of the user's own that have been imported."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return sorted({str(bot), *(file for file in files if file and _is_own(Path(file), bot))})


def _is_own(file: Path, bot: Path) -> bool:
    if is_users_file(file, bot):
        return True
    # An editable package of the user's, elsewhere on this machine.
    installed = "site-packages" in file.parts or "dist-packages" in file.parts
    ours = file.is_relative_to(Path(__file__).parents[1])
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(os.__file__).parent)}
    return not installed and not ours and not any(file.is_relative_to(prefix) for prefix in prefixes)


class SupervisedWorker:
    """From the loaded bot to the last call's end."""

    def __init__(self, birth: Birth, settings: Settings, bot: LoadedBot) -> None:
        self._birth = birth
        self._settings = settings
        self._bot = bot
        self._accept = asyncio.Event()
        self._retire = asyncio.Event()
        self._address: dict[str, Any] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Returns when told to stop, or when the last call after `retire` is over."""
        self._shutdown = Shutdown()
        self._channel = await Channel.over(self._birth.channel)
        with self._shutdown.capture(signals=(signal.SIGTERM,), at_once=END_AT_ONCE):
            preparing = asyncio.create_task(prepare(self._bot, self._settings), name="preparing")
            listening: asyncio.Task[None] | None = None
            try:
                if not await self._ready(preparing):
                    return
                from runner.server.handover.other_workers import OtherWorkers

                host, server = preparing.result()
                host.other_workers = OtherWorkers(Path(self._birth.job["folder"]), self._birth.job["worker"])
                host.moves.connect(self._channel.send)
                listening = asyncio.create_task(self._listen(host), name="supervisor")
                self._channel.send({"is": "loaded", "modules": modules_of(self._bot.path)})
                if await first(asyncio.ensure_future(self._accept.wait()), self._shutdown.requested.wait()):
                    await self._serve(host, server)
            finally:
                await stop_helpers(preparing)
                for task in (listening, *self._telling):
                    if task is not None:
                        task.cancel()
                await self._channel.aclose()

    async def _ready(self, preparing: asyncio.Task[tuple[Host, Server]]) -> bool:
        try:
            return await first(preparing, self._shutdown.requested.wait())
        except BotrunError as error:
            failure = failure_of(error, crashed=True)
            self._channel.send({"is": "failed", "failure": failure.as_dict()})
            await self._channel.flush()
            return False

    async def _listen(self, host: Host) -> None:
        async for order in self._channel.messages():
            match order["do"]:
                case "accept":
                    self._address = order["public"]
                    self._accept.set()
                case "retire":
                    self._retire.set()
                case "look":
                    telling = asyncio.create_task(self._tell_state(host), name="state")
                    self._telling.add(telling)
                    telling.add_done_callback(self._telling.discard)
                case "past":
                    host.run_totals.take_past(order["tally"], order["workers"])
                case "last":
                    host.run_totals.take_last(order["worker"], order["tally"])
                case "call":
                    _call(order["function"], host)
                case _:
                    host.moves.take_order(order)
        # The supervisor is gone.
        self._shutdown.requested.set()

    async def _tell_state(self, host: Host) -> None:
        self._channel.send({"is": "state", "state": await host.describe()})

    def _tell_figures(self, host: Host, *, last: bool = False) -> None:
        self._channel.send({"is": "figures", "tally": host.run_totals.own()["tally"], "last": last})

    async def _serve(self, host: Host, server: Server) -> None:
        from runner.server.forwarding.middleware import InternalApp

        end_sessions_s, public = time_to_end(host, self._shutdown), self._public_side(host)
        opening = asyncio.create_task(public.open(), name="public door, or numbers that a run left")
        reporting = asyncio.create_task(self._report(host), name="reports")
        guard = LoopGuard(host.bot.path, host.sessions)
        assert host.other_workers is not None
        inside = server.serving_inside(host.other_workers.own, lambda app: InternalApp(app, host))
        async with server.serving(self._birth.listener, CLOSE_CONNECTIONS_S), inside:
            try:
                if self._address is not None:
                    await first(opening, self._shutdown.requested.wait())
                self._announce(host)
                with guard.watching(), telling_what_was_not_awaited(host.bot.path):
                    if await first(
                        asyncio.ensure_future(self._retire.wait()), self._shutdown.requested.wait()
                    ):
                        await self._see_off(host, server, public)
                if self._shutdown.requested.is_set():
                    logger.info("stopping" if not self._retire.is_set() else "its last calls are ended")
                    host.moves.release()
                    server.refuse_more()
                    public.refuse_more()
                    await host.sessions.end_all(EndReason.SHUTDOWN, end_sessions_s)
            finally:
                for task in (opening, reporting):
                    task.cancel()
                await asyncio.wait({opening, reporting})
                await public.aclose()
                await self._leave_figures(host)

    def _public_side(self, host: Host) -> PublicSide:
        from runner.server.public.address import PublicAddress
        from runner.server.public.ledger.client import NAME
        from runner.server.public.public_side import Kept, PublicSide

        if self._address is None or self._birth.public is None:
            return PublicSide(host)
        ledger_client = Path(self._birth.job["folder"]) / NAME
        return PublicSide(host, kept=Kept(self._birth.public, PublicAddress(**self._address), ledger_client))

    def _announce(self, host: Host) -> None:
        garbage.resume()
        # Told first: who sees the address and stops the run at once has had a run.
        self._channel.send({"is": "accepting"})
        if self._birth.job["announce"]:
            _call(self._birth.job["announce"], host)

    async def _see_off(self, host: Host, server: Server, public: PublicSide) -> None:
        """Take no more calls, hand over those that can move, and wait for the others' end."""
        server.refuse_more()
        server.close_idle()
        public.refuse_more()
        moving = asyncio.create_task(_moved(host), name="moving")
        try:
            await first(moving, self._shutdown.requested.wait())
        finally:
            moving.cancel()
            await asyncio.wait({moving})

    async def _leave_figures(self, host: Host) -> None:
        """Who serves now has them before this worker cannot be asked any more."""
        self._tell_figures(host, last=True)
        await self._channel.flush()
        await asyncio.sleep(LAST_WORD_S)

    async def _report(self, host: Host) -> None:
        """The bot may import more in a call; and what was counted shall outlive a crash."""
        known: tuple[int, int] = (len(sys.modules), 0)
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._tell_figures(host)
            if known != (len(sys.modules), len(_written)):
                known = (len(sys.modules), len(_written))
                written = [name for name in _written if Path(name).is_relative_to(self._bot.path.parent)]
                self._channel.send(
                    {"is": "modules", "modules": modules_of(self._bot.path), "written": written}
                )


async def _moved(host: Host) -> None:
    """Until nothing is left here, nor passes through here."""
    await host.moves.drain_moves(host.sessions)
    while host.forwarded:
        await asyncio.wait(set(host.forwarded))


def _call(function: str, host: Host) -> None:
    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(host)
