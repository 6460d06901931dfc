"""A worker under a supervisor: loads the bot, reports the result, accepts calls, and retires when replaced.

Its messages are `ToWorker` and `FromWorker` in `worker/messages.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from runner import logs
from runner.botcode.failure import BotCrashError, Failure, failure_of
from runner.botcode.loader import BotTarget, LoadedBot, parse_target
from runner.botcode.location import is_users_file
from runner.errors import BotrunError
from runner.eventloop import become
from runner.eventloop.json_channel import Channel
from runner.integrations.pipecat import loading
from runner.settings import Settings, enter_dotenv, find_dotenv, is_set, read_dotenv, resolve
from runner.settings.table import FIXED
from runner.worker import resume_gc
from runner.worker.encoding import (
    MessageChannel,
    encode,
)
from runner.worker.file_notes import report_files
from runner.worker.loop_watchdog import LoopGuard, warning_of_unawaited_coroutines
from runner.worker.messages import (
    Accept,
    Accepting,
    Announce,
    AskState,
    BotFailed,
    CallTaken,
    CodeState,
    Drain,
    EndedTotals,
    Held,
    ImportedFiles,
    LastTotals,
    LeftOut,
    Loaded,
    LoadFailed,
    MoveCall,
    OpenPage,
    Retire,
    RunCarries,
    RunJob,
    State,
    TakeCall,
    Totals,
    ToWorker,
    WorkerJob,
    WorkerSpec,
)
from runner.worker.shutdown import END_AT_ONCE, Shutdown
from runner.worker.standalone import (
    CLOSE_CONNECTIONS_S,
    end_sessions,
    first,
    prepare,
    run_loop,
    stop_helpers,
    time_to_end,
)

if TYPE_CHECKING:
    from runner.server.host import Host
    from runner.server.public.address import PublicAddress
    from runner.server.public.public_side import PublicSide
    from runner.server.wire.uvicorn_server import Server

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 2.0
LAST_TOTALS_S = 0.05


def run_supervised(
    spec: WorkerSpec, job: WorkerJob, kind: Callable[..., SupervisedWorker] | None = None
) -> int:
    """Run a worker, of this `kind`. Returns its exit status."""
    become(spec.id)
    target = Path(job.run.file)
    with open(job.trace, "wb") as trace:
        faulthandler.register(signal.SIGUSR1, trace, all_threads=False)
        try:
            settings, bot = _load(spec, job.run)
        except BotrunError as error:
            failure = failure_of(error, crashed=isinstance(error, BotCrashError))
            spec.channel.sendall(encode(LoadFailed(failure=failure, modules=modules_of(target))))
            return 1
        finally:
            faulthandler.unregister(signal.SIGUSR1)
    run_loop((kind or SupervisedWorker)(spec, job, settings, bot).run())
    return 0


def _load(spec: WorkerSpec, run: RunJob) -> tuple[Settings, LoadedBot]:
    loading.prepare(Path(run.file))
    settings, target = settings_of(run)
    report_files(spec.writes, target.path.parent)
    return settings, loading.load(target, settings)


def settings_of(run: RunJob) -> tuple[Settings, BotTarget]:
    """The current settings, except those fixed at the start of the run. Loads `.env` into the environment."""
    target = parse_target(run.typed)
    dotenv_path = find_dotenv(target.path)
    dotenv = read_dotenv(dotenv_path)
    settings = resolve(run.flags, dotenv)
    fixed = {name: run.fixed[name] for name in FIXED if name in run.fixed}
    for name in ("transports", "certificate", "bot_args", "media_ports"):
        fixed[name] = tuple(fixed[name])
    settings = replace(settings, **fixed)
    logs.configure(style=settings.log, verbose=settings.verbose, colour=not is_set("NO_COLOR"))
    enter_dotenv(dotenv)
    return settings, target


def modules_of(bot: Path) -> tuple[str, ...]:
    """The imported files of the user."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return tuple(sorted({str(bot), *(file for file in files if file and _is_users(file, bot))}))


@cache
def _is_users(file: str, bot: Path) -> bool:
    """Cached: for a large framework's thousands of files this takes 60 ms, and it runs during calls."""
    return is_users_file(Path(file), bot)


class SupervisorMessages:
    """Implements `runner.server.handover.moves.SupervisorPort` with messages."""

    def __init__(self, channel: MessageChannel[ToWorker]) -> None:
        self._channel = channel

    def move_call(self, call: dict[str, Any]) -> None:
        self._channel.send(MoveCall(call=call))

    def call_taken(self, key: str) -> None:
        self._channel.send(CallTaken(key=key))

    def held(self) -> None:
        self._channel.send(Held())

    def bot_failed(self, session_id: str, failure: Failure) -> None:
        self._channel.send(BotFailed(failure=failure, session=session_id))

    def left_out(self, session_id: str, what: list[str]) -> None:
        self._channel.send(LeftOut(session=session_id, what=tuple(what)))


class SupervisedWorker:
    """A worker, from the loaded bot to the end of its last call."""

    def __init__(self, spec: WorkerSpec, job: WorkerJob, settings: Settings, bot: LoadedBot) -> None:
        self._spec = spec
        self._job = job
        self._settings = settings
        self._bot = bot
        self._accept = asyncio.Event()
        self._retire = asyncio.Event()
        self._address: PublicAddress | None = None
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until asked to stop, or until the last call has ended after `Retire`."""
        self._shutdown = Shutdown()
        channel = await Channel.over(self._spec.channel)
        self._channel = MessageChannel[ToWorker](channel, ToWorker, "supervisor")
        with self._shutdown.capture(signals=(signal.SIGTERM,), at_once=END_AT_ONCE):
            preparing = asyncio.create_task(prepare(self._bot, self._settings), name="preparing")
            listening: asyncio.Task[None] | None = None
            try:
                if not await self._ready(preparing):
                    return
                from runner.server.handover.other_workers import OtherWorkers

                host, server = preparing.result()
                host.other_workers = OtherWorkers(Path(self._job.run.folder), self._spec.id)
                self._connect(host)
                listening = asyncio.create_task(self._listen(host), name="supervisor")
                self._channel.send(Loaded(modules=modules_of(self._bot.path)))
                if await first(asyncio.ensure_future(self._accept.wait()), self._shutdown.requested.wait()):
                    await self._serve(host, server)
            finally:
                await stop_helpers(preparing)
                for task in (listening, *self._answers):
                    if task is not None:
                        task.cancel()
                await self._channel.aclose()

    async def _ready(self, preparing: asyncio.Task[tuple[Host, Server]]) -> bool:
        try:
            return await first(preparing, self._shutdown.requested.wait())
        except BotrunError as error:
            self._channel.send(LoadFailed(failure=failure_of(error, crashed=True)))
            await self._channel.flush()
            return False

    def _connect(self, host: Host) -> None:
        """Allow calls to move to newer code."""
        host.moves.connect(SupervisorMessages(self._channel))

    async def _listen(self, host: Host) -> None:
        async for message in self._channel.messages():
            self._take(message, host)
        # The supervisor has ended.
        self._shutdown.requested.set()

    def _take(self, message: ToWorker, host: Host) -> None:
        match message:
            case Accept(public=public):
                self._address = public
                self._accept.set()
            case Retire():
                self._retire.set()
            case TakeCall(call=call):
                host.moves.take_call(call)
            case CallTaken(key=key):
                host.moves.call_taken(key)
            case CodeState(failure=failure):
                host.moves.set_failure(failure)
            case AskState():
                answering = asyncio.create_task(self._send_state(host), name="state")
                self._answers.add(answering)
                answering.add_done_callback(self._answers.discard)
            case EndedTotals(totals=totals, workers=workers):
                host.run_totals.take_past(totals, workers)
            case LastTotals(worker=worker, totals=totals):
                host.run_totals.take_last(worker, totals)
            case Announce():
                self._spec.actions.announce(host)
            case OpenPage(path=path):
                self._spec.actions.open_page(host, path)
            case Drain() | RunCarries():
                pass  # for workers of `botrun serve`
            case _:
                assert_never(message)

    async def _send_state(self, host: Host) -> None:
        self._channel.send(State(state=await host.describe()))

    def _send_totals(self, host: Host, *, last: bool = False) -> None:
        self._channel.send(Totals(totals=host.run_totals.own()["totals"], last=last))

    async def _serve(self, host: Host, server: Server) -> None:
        from runner.server.forwarding import InternalApp

        end_sessions_s, public = time_to_end(host, self._shutdown), self._public_side(host)
        opening = asyncio.create_task(public.open(), name="public side")
        reporting = asyncio.create_task(self._report(host), name="reports")
        guard = LoopGuard(host.bot.path, host.sessions)
        assert host.other_workers is not None
        inside = server.serving_inside(host.other_workers.own, lambda app: InternalApp(app, host))
        async with server.serving(self._listener(), CLOSE_CONNECTIONS_S), inside:
            try:
                if self._address is not None:
                    await first(opening, self._shutdown.requested.wait())
                async with self._taking(server, public):
                    self._announce(host)
                    with guard.watching(), warning_of_unawaited_coroutines(host.bot.path):
                        if await first(
                            asyncio.ensure_future(self._retire.wait()), self._shutdown.requested.wait()
                        ):
                            await self._drain(host, server, public)
                    if self._shutdown.requested.is_set():
                        host.moves.release()
                        stopping = "ending the calls of older code" if self._retire.is_set() else "stopping"
                        await end_sessions(host, end_sessions_s, stopping)
            finally:
                for task in (opening, reporting):
                    task.cancel()
                await asyncio.wait({opening, reporting})
                await public.aclose()
                await self._send_last_totals(host)

    def _listener(self) -> socket.socket | None:
        """The socket on which this worker accepts connections."""
        return self._spec.listener

    def _taking(self, server: Server, public: PublicSide) -> AbstractAsyncContextManager[None]:
        """While the block runs, connections are accepted."""
        return contextlib.nullcontext()

    def _public_side(self, host: Host) -> PublicSide:
        from runner.server.public.ledger_client import NAME
        from runner.server.public.public_side import Kept, PublicSide

        if self._address is None or self._spec.public is None:
            return PublicSide(host)
        ledger = Path(self._job.run.folder) / NAME
        public = self._spec.public if self._listener() is not None else None
        return PublicSide(host, kept=Kept(public, self._address, ledger))

    def _announce(self, host: Host) -> None:
        resume_gc()
        # Sent first, so that a run stopped as soon as its address is shown exits with status 0.
        self._channel.send(Accepting())
        if self._job.announce:
            self._spec.actions.announce(host)

    async def _drain(self, host: Host, server: Server, public: PublicSide) -> None:
        """Accept no more calls, hand over those that can move, and wait for the others to end."""
        server.refuse_more()
        server.close_idle()
        public.refuse_more()
        moving = asyncio.create_task(_moved(host), name="moving")
        try:
            await first(moving, self._shutdown.requested.wait())
        finally:
            moving.cancel()
            await asyncio.wait({moving})

    async def _send_last_totals(self, host: Host) -> None:
        """Send the last statistics; the accepting worker gets them before this one ends."""
        self._send_totals(host, last=True)
        await self._channel.flush()
        await asyncio.sleep(LAST_TOTALS_S)

    async def _report(self, host: Host) -> None:
        """Report new imports of the bot, and the statistics, so that they survive a crash."""
        known = len(sys.modules)
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            self._send_totals(host)
            if known != len(sys.modules):
                known = len(sys.modules)
                self._channel.send(ImportedFiles(modules=modules_of(self._bot.path)))


async def _moved(host: Host) -> None:
    """Wait until all calls have ended or moved, and no request is being forwarded."""
    await host.moves.drain_moves(host.sessions)
    while host.forwarded:
        await asyncio.wait(set(host.forwarded))
    if host.bot.finished is not None:
        await host.bot.finished()
