"""The parent process: it holds the port, sees what is saved, and puts new code in the place of old.

saved ─ fork ─ imported cleanly? ── no ── the old code goes on; terminal and page tell why
                     │ yes
              the new one accepts ─ the old one retires: its calls move, or are finished there
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.botcode.failure import Failure, failure_at
from runner.errors import BotrunError
from runner.supervisor.bot_sources import Project
from runner.supervisor.crash_limiter import Deaths, how
from runner.supervisor.file_watch import Watch
from runner.supervisor.loading import Load, Loader, RunPlan
from runner.supervisor.processes import END_AT_ONCE, Nursery, Worker
from runner.supervisor.public_keeper_client import LineOwner, PublicLine
from runner.supervisor.rollout import Succession
from runner.supervisor.run_totals import Past
from runner.supervisor.stopping import end_workers
from runner.supervisor.view import RunView
from runner.worker.preimport import modules_for

logger = logging.getLogger(__name__)

LAST_WORDS_S = 0.2
FORCED_STATUS = 130


class Supervisor:
    """Runs a bot until Ctrl-C.

    Args:
        plan: what is run.
        listener: the port.
        public: the port where a tunnel ends, if the run has a public address.
        output: where the workers write (a file number); None: where this process does.

    Attributes:
        view: for a terminal.
    """

    def __init__(
        self,
        plan: RunPlan,
        listener: socket.socket,
        output: int | None = None,
        public: socket.socket | None = None,
    ) -> None:
        self._plan = plan
        self._output = output
        self._succession = Succession()
        self.view = RunView(self._succession, restart=self.restart, stop=self.stop)
        self._listeners = [listener] if public is None else [listener, public]
        self._line: PublicLine | None = None
        self._project = Project(plan.bot, plan.watch)
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._outcome: BotrunError | int = 0
        self._signals = 0
        self._deaths = Deaths()
        self._past = Past()

    async def run(self) -> int:
        """Returns the exit status.

        Raises:
            BotrunError: the bot could not be loaded when the run began.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        self._folder = Path(tempfile.mkdtemp(prefix="botrun-"))  # mode 0700
        self._nursery = Nursery(self._listeners, self._ended, self._output)
        self._loader = Loader(self._plan, self._nursery, self._folder, self._broken)
        self._watch = Watch(self._project, self._saved)
        try:
            plan = self._plan
            self._nursery.prepare(modules_for(plan.bot, plan.transports, is_public=plan.is_public))
            if plan.is_public:
                self._line = PublicLine(self._nursery, plan.job(self._folder), self._line_owner())
                await self._line.start()
            # What is there now is known before it is read: what is saved from here on counts.
            self._learn([])
            await self._begin("")
            await self._over.wait()
            self._loader.drop()
            await end_workers(self._nursery.living, self._line)
        finally:
            await self._close()
        if isinstance(self._outcome, BotrunError):
            raise self._outcome
        return self._outcome

    def _line_owner(self) -> LineOwner:
        def announce() -> None:
            self.view.order(self._plan.announce)

        return LineOwner(spawn=self._spawn, announce=announce, renew=self._take_up, end=self._end)

    def restart(self) -> None:
        """Load the bot again, saved or not."""
        self._take_up("restarted: ")

    def stop(self) -> None:
        """End the run, as a signal does."""
        self._signalled()

    # ------------------------------------------------------------ loading

    def _saved(self, paths: list[Path]) -> None:
        """Something was saved: what is being loaded is out of date already."""
        names = ", ".join(path.name for path in paths[:3]) + (" …" if len(paths) > 3 else "")
        self._take_up(f"{names} was saved: ")

    def _take_up(self, why: str) -> None:
        self._deaths.forget()
        self._spawn(self._begin(why))

    async def _begin(self, why: str) -> None:
        worker = await self._loader.begin(why, first=not self._succession.has_begun)
        self._spawn(self._hear(worker))

    def _broken(self, failure: Failure, modules: Sequence[str] = ()) -> None:
        """The code on disk does not load; the good one goes on."""
        if self._loader.load is not None:
            self._loader.finish()
        self._project.broken = True
        self._learn([*modules, *([failure.file] if failure.file else [])])
        self._succession.broken(failure)
        if not self._succession.has_begun:
            if self._plan.fixed.get("verbose"):
                print(failure.traceback, end="", file=sys.stderr)
            self._end(failure.raised())

    def _learn(self, modules: Sequence[str], written: Sequence[str] = ()) -> None:
        self._project.learn(modules, written)
        self._watch.renew()

    # ------------------------------------------------------------ what workers tell

    async def _hear(self, worker: Worker) -> None:
        async for told in worker.channel.messages():
            self._take(worker, told)
        await worker.ended.wait()
        await worker.channel.aclose()

    def _take(self, worker: Worker, told: dict[str, Any]) -> None:
        loading = self._loader.is_loading(worker)
        match told["is"]:
            case "loaded" if loading:
                self._learn(told["modules"])
                worker.tell(self._past.whole())
                self._spawn(self._let_accept(worker))
            case "accepting" if loading:
                self._swap()
            case "failed" if loading:
                self._broken(Failure(**told["failure"]), told.get("modules", ()))
            case "modules":
                self._learn(told["modules"], told["written"])
            case "bot failed":
                self._bot_failed(Failure(**told["failure"]))
            case "held":
                self._succession.tell_news()
            case "moving":
                self._succession.move(worker, told["call"])
            case "taken":
                self._tell_others(worker, {"do": "taken", "key": told["key"]})
            case "figures":
                self._past.take(worker, told["tally"])
                if told["last"]:
                    self._tell_others(worker, self._past.last(worker))
            case "state":
                self.view.take(worker, told["state"])
            case "left out":
                logger.warning("session %s: %s", told["session"], "; ".join(told["what"]))

    async def _let_accept(self, worker: Worker) -> None:
        public = await self._line.where() if self._line is not None else None
        worker.tell({"do": "accept", "public": public})

    def _tell_others(self, worker: Worker, order: dict[str, Any] | None) -> None:
        for other in self._nursery.living:
            if other is not worker and order is not None:
                other.tell(order)

    def _swap(self) -> None:
        """The new one accepts: the old one may go."""
        is_first = not self._succession.has_begun
        self._project.broken = False
        self._succession.take_over(self._loader.finish())
        if is_first:
            self._nursery.prepare_more()
        if self._line is not None:
            self._line.open()

    def _bot_failed(self, failure: Failure) -> None:
        self._project.broken = True
        logger.error("%s", failure.shown())
        logger.info("the call waits for the next save")

    # ------------------------------------------------------------ ends

    def _ended(self, worker: Worker) -> None:
        """A worker's process is gone."""
        if self._over.is_set():
            return
        if self._nursery.failed.is_set():
            self._end(BotrunError("the process that the bot is started from is gone: botrun ends"))
            return
        if self._line is not None and self._line.is_kept_by(worker):
            self._line.lost(how(worker.status), often=self._deaths.one_more())
            return
        self._tell_others(worker, self._past.last(worker))
        self._past.close(worker)
        if self._loader.load is not None and self._loader.is_loading(worker):
            # What it told before it ended may still be on its way.
            self._spawn(self._ended_loading(self._loader.load, how(worker.status)))
        elif worker is self._succession.current:
            self._succession.current = None
            self._restart(how(worker.status))

    async def _ended_loading(self, load: Load, end: str) -> None:
        await asyncio.sleep(LAST_WORDS_S)
        if load is self._loader.load:
            self._broken(failure_at(f"the bot's process {end} while it was loaded", str(self._plan.bot), 0))

    def _restart(self, end: str) -> None:
        if self._deaths.one_more():
            logger.error("the bot's process %s, again: it is started when something is saved", end)
            return
        logger.error("the bot's process %s: it is started again", end)
        self._spawn(self._begin(""))

    def _end(self, outcome: BotrunError | int) -> None:
        if not self._over.is_set():
            self._outcome = outcome
            self._over.set()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals > 1:
            for worker in self._nursery.living:
                worker.signal(END_AT_ONCE)  # with what the bot started
            self._outcome = FORCED_STATUS
        self._end(0 if self._succession.has_begun else FORCED_STATUS)

    async def _close(self) -> None:
        self._watch.close()
        await self._nursery.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the supervisor failed", exc_info=error)
