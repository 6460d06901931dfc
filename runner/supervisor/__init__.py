"""Save, and keep talking: a supervisor that outlives the bot's code, and workers that run it.

    botrun ── supervisor      holds port, keyboard, file watch; imports next to nothing, never `.env`
                └─ fork server   has imported what is heavy, but no bot; forks a worker in milliseconds
                     ├─ keeper     with a public address: tunnel, number, count of calls
                     ├─ worker 1   the code from before: finishes the calls that cannot move
                     └─ worker 2   the new code: accepts once it has been imported cleanly

They speak in JSON lines (`runner/eventloop/json_channel.py`); the messages stand in `worker/messages.py`.
Here is the parent process: it holds the ports, notices saves, and replaces old code by new.

saved ─ fork ─ imported cleanly? ── no ── the old code keeps serving; terminal and page show why
                     │ yes
              the new worker accepts ─ the old one retires: its calls move, or are finished there
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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from runner.botcode.failure import Failure, failure_at
from runner.errors import BotrunError
from runner.supervisor.bot_files import BotFiles, Watch
from runner.supervisor.busy_answers import BusyAnswers
from runner.supervisor.processes import CrashLimiter, ForkServer, Note, Worker, end_workers, how_it_ended
from runner.supervisor.public_keeper_client import KeeperOwner, PublicKeeperClient
from runner.supervisor.rollout import EndedWorkers, Load, Loader, Rollout, RunPlan, RunView
from runner.worker.encoding import (
    MessageChannel,
)
from runner.worker.fork_server import modules_for
from runner.worker.messages import (
    Accept,
    Accepting,
    BotFailed,
    CallTaken,
    FromWorker,
    Held,
    ImportedFiles,
    LeftOut,
    Loaded,
    LoadFailed,
    MoveCall,
    State,
    Totals,
    ToWorker,
    WorkerLoad,
)
from runner.worker.shutdown import END_AT_ONCE

logger = logging.getLogger(__name__)

LAST_MESSAGES_S = 0.2
FORCED_STATUS = 130

STOP_S = 5.7
"""After `BOTRUN_SHUTDOWN_SECS`, a worker ends within 1.5 s, or 5 s if it deletes Daily's rooms."""

PUBLIC_STOP_S = 12.2
"""With a public address, calls are hung up at the provider, and the number is pointed back."""


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
        self._rollout = Rollout()
        self.view = RunView(self._rollout, restart=self.restart, stop=self.stop)
        self._listeners = [listener] if public is None else [listener, public]
        self._busy = BusyAnswers(self._listeners)
        self._keeper: PublicKeeperClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._outcome: BotrunError | int = 0
        self._signals = 0
        self._crashes = CrashLimiter()
        self._keeper_crashes = CrashLimiter()
        self._ended_workers = EndedWorkers()

    async def run(self) -> int:
        """Returns the exit status.

        Raises:
            BotrunError: the bot could not be loaded when the run began.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        self._folder = Path(tempfile.mkdtemp(prefix="botrun-"))  # mode 0700
        self._fork_server = ForkServer(
            self._plan.program, self._listeners, self._ended, self._note_files, self._output
        )
        self._files = BotFiles(self._plan.typed_path, self._plan.watch, lambda: self._fork_server.pids)
        self._loader = Loader(self._plan, self._fork_server, self._folder, self._broken)
        self._watch = Watch(self._files, self._saved, self._take_notes)
        try:
            plan = self._plan
            self._fork_server.prepare(modules_for(plan.bot, plan.transports, is_public=plan.is_public))
            if plan.is_public:
                self._keeper = PublicKeeperClient(
                    self._fork_server, plan.job(self._folder), self._keeper_owner()
                )
                await self._keeper.start()
            # What is there now is known before it is read: what is saved from here on counts.
            self._learn(())
            await self._begin("")
            await self._over.wait()
            self._loader.drop()
            await self._end_processes()
        finally:
            await self._close()
        if isinstance(self._outcome, BotrunError):
            raise self._outcome
        return self._outcome

    def _keeper_owner(self) -> KeeperOwner:
        return KeeperOwner(spawn=self._spawn, announce=self.view.announce, renew=self._reload, end=self._end)

    def restart(self) -> None:
        """Load the bot again, saved or not."""
        self._reload("restarted: ")

    def stop(self) -> None:
        """End the run, as a signal does."""
        self._signalled()

    # ------------------------------------------------------------ loading

    def _saved(self, paths: list[Path]) -> None:
        """Something was saved: what is being loaded is out of date."""
        names = ", ".join(path.name for path in paths[:3]) + (" …" if len(paths) > 3 else "")
        self._reload(f"{names} was saved: ")

    def _reload(self, why: str) -> None:
        self._crashes.forget()
        self._spawn(self._begin(why))

    async def _begin(self, why: str, wait_s: float = 0.0) -> None:
        await asyncio.sleep(wait_s)
        if wait_s and (self._loader.load is not None or self._rollout.current is not None):
            return  # something was saved meanwhile
        worker = await self._loader.begin(why, first=not self._rollout.has_begun)
        self._spawn(self._listen(worker))

    def _broken(self, failure: Failure, modules: Sequence[str] = ()) -> None:
        """The code on disk does not load; the worker that accepts goes on."""
        if self._loader.load is not None:
            self._loader.finish()
        self._files.broken = True
        self._learn([*modules, *([failure.file] if failure.file else [])])
        self._rollout.broken(failure)
        if not self._rollout.has_begun:
            if self._plan.fixed.get("verbose"):
                print(failure.traceback, end="", file=sys.stderr)
            self._end(failure.raised())

    def _learn(self, modules: Sequence[str]) -> None:
        self._take_notes()
        self._files.learn(modules)
        self._watch.renew()

    def _take_notes(self) -> None:
        self._files.note(self._fork_server.notes())

    def _note_files(self, notes: list[Note]) -> None:
        self._files.note(notes)

    # ------------------------------------------------------------ messages

    async def _listen(self, worker: Worker) -> None:
        channel = MessageChannel[FromWorker](worker.channel, FromWorker, f"worker {worker.id}")
        async for message in channel.messages():
            self._take(worker, message)
        await worker.ended.wait()
        await channel.aclose()

    def _take(self, worker: Worker, message: FromWorker) -> None:
        loading = self._loader.is_loading(worker)
        match message:
            case Loaded(modules=modules):
                if loading:
                    self._learn(modules)
                    worker.send(self._ended_workers.sum())
                    self._spawn(self._let_accept(worker))
            case Accepting():
                if loading:
                    self._switch()
            case LoadFailed(failure=failure, modules=modules):
                if loading:
                    self._broken(failure, modules)
            case ImportedFiles(modules=modules):
                self._learn(modules)
            case BotFailed(failure=failure):
                self._bot_failed(failure)
            case Held():
                self._rollout.log_switch()
            case MoveCall(call=call):
                self._rollout.move(worker, call)
            case CallTaken():
                self._send_others(worker, message)
            case Totals(totals=totals, last=last):
                self._ended_workers.update(worker, totals)
                if last:
                    self._send_others(worker, self._ended_workers.last(worker))
            case State(state=state):
                self.view.update(worker, state)
            case LeftOut(session=session, what=what):
                logger.warning("session %s: %s", session, "; ".join(what))
            case WorkerLoad():
                pass  # of workers of `botrun serve`
            case _:
                assert_never(message)

    async def _let_accept(self, worker: Worker) -> None:
        worker.send(Accept(public=await self._keeper.address() if self._keeper is not None else None))

    def _send_others(self, worker: Worker, message: ToWorker | None) -> None:
        for other in self._fork_server.living:
            is_keeper = self._keeper is not None and self._keeper.is_kept_by(other)
            if other is not worker and message is not None and not is_keeper:
                other.send(message)

    def _switch(self) -> None:
        """The new worker accepts; the old one retires."""
        is_first = not self._rollout.has_begun
        self._busy.stop()
        self._files.broken = False
        self._rollout.switch(self._loader.finish())
        if is_first:
            self._fork_server.prepare_more()
        if self._keeper is not None:
            self._keeper.open()

    def _bot_failed(self, failure: Failure) -> None:
        self._files.broken = True
        logger.error("%s", failure.shown())
        logger.info("the call waits for the next save")

    # ------------------------------------------------------------ ends

    def _ended(self, worker: Worker) -> None:
        """A worker's process is gone."""
        if self._over.is_set():
            return
        if self._fork_server.failed.is_set():
            self._end(BotrunError("the fork server of the workers died; botrun exits"))
            return
        if self._keeper is not None and self._keeper.is_kept_by(worker):
            self._keeper.lost(how_it_ended(worker.status), self._keeper_crashes.crashed())
            return
        self._send_others(worker, self._ended_workers.last(worker))
        self._ended_workers.close(worker)
        if self._loader.load is not None and self._loader.is_loading(worker):
            # Its last messages may still be on their way.
            self._spawn(self._ended_loading(self._loader.load, how_it_ended(worker.status)))
        elif worker is self._rollout.current:
            self._rollout.current = None
            self._restart(how_it_ended(worker.status))

    async def _ended_loading(self, load: Load, end: str) -> None:
        await asyncio.sleep(LAST_MESSAGES_S)
        if load is self._loader.load:
            self._broken(failure_at(f"the bot's process {end} while it was loaded", str(self._plan.bot), 0))

    def _restart(self, end: str) -> None:
        """The worker that accepted has crashed."""
        self._spawn(self._busy.start())
        wait_s, times = self._crashes.crashed(), self._crashes.count
        if wait_s is None and self._keeper is not None:
            self._end(BotrunError(
                f"the bot's process {end}, {times} times in a row; botrun restores the number and exits"
            ))  # fmt: skip
        elif wait_s is None:
            logger.error("the bot's process %s, %d times in a row; save a file to start it again", end, times)
        else:
            again = f" in {wait_s:g} s" if wait_s else ""
            logger.error("the bot's process %s; botrun restarts it%s", end, again)
            self._spawn(self._begin("", wait_s))

    def _end(self, outcome: BotrunError | int) -> None:
        if not self._over.is_set():
            self._outcome = outcome
            self._over.set()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals > 1:
            for worker in self._fork_server.living:
                worker.signal(END_AT_ONCE)  # with what the bot started
            self._outcome = FORCED_STATUS
        self._end(0 if self._rollout.has_begun else FORCED_STATUS)

    async def _end_processes(self) -> None:
        """Ask all to end, and wait. The number is given back meanwhile; the keeper ends last."""
        until = time.monotonic() + float(self._plan.fixed.get("shutdown_secs", 0.0))
        until += PUBLIC_STOP_S if self._keeper is not None else STOP_S
        if self._keeper is not None:
            self._keeper.give_back()
        living = self._fork_server.living
        workers = [one for one in living if self._keeper is None or not self._keeper.is_kept_by(one)]
        await end_workers(workers, until)
        if self._keeper is not None:
            await self._keeper.close(until - time.monotonic())

    async def _close(self) -> None:
        self._watch.close()
        self._busy.stop()
        await self._fork_server.aclose()
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
