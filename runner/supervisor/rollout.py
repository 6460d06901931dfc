"""Which worker accepts, what moves from the one before to the next, and what ended workers have counted.

A worker that does not accept yet is forked, given time, and asked where it hangs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.botcode.failure import Failure, hanging
from runner.botcode.location import is_users_file
from runner.sessions.stats import CallTotals, added
from runner.supervisor.processes import ForkServer, Worker
from runner.worker.messages import (
    Announce,
    AskState,
    CodeState,
    EndedTotals,
    LastTotals,
    OpenPage,
    Retire,
    RunJob,
    TakeCall,
    WorkerJob,
)

logger = logging.getLogger(__name__)

TRACE_S = 0.2


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What is run.

    Attributes:
        typed: FILE or FILE:function.
        bot: the file.
        flags: as typed, for workers to resolve again.
        fixed: settings that stay what they were at the start.
        transports: those served.
        watch: further paths to watch.
        program: the command that starts the fork server, without its arguments.
        load_secs: how long the import of an edited bot may take (s).
        is_public: whether it has a public address; then that is announced when it leads here.
    """

    typed: str
    bot: Path
    flags: dict[str, Any]
    fixed: dict[str, Any]
    transports: Sequence[str]
    program: Sequence[str]
    watch: Sequence[Path] = ()
    load_secs: float = 10.0
    is_public: bool = False

    @property
    def typed_path(self) -> Path:
        """The file as typed: it may be a link."""
        path = Path(self.typed)
        return path if path.exists() else Path(self.typed.rpartition(":")[0])

    def job(self, folder: Path) -> RunJob:
        """What each process of the run is given. `folder` is the run's own."""
        return RunJob(
            typed=self.typed, file=str(self.bot), flags=self.flags, fixed=self.fixed, folder=str(folder)
        )


@dataclass(frozen=True)
class Load:
    """A worker that does not accept yet; `why` it was begun precedes "the new code answers" in the log."""

    worker: Worker
    trace: Path
    why: str
    begun: float = field(default_factory=time.monotonic)


class Loader:
    """Has at most one worker load the bot; a further save makes it begin again.

    Args:
        plan: what is run.
        fork_server: where workers are forked.
        folder: of this run alone, for traces.
        on_hang: given the failure when a bot is still being imported after `load_secs`.
    """

    def __init__(
        self, plan: RunPlan, fork_server: ForkServer, folder: Path, on_hang: Callable[[Failure], None]
    ) -> None:
        self._plan = plan
        self._fork_server = fork_server
        self._folder = folder
        self._on_hang = on_hang
        self._waiting: asyncio.Task[None] | None = None
        self._count = 0
        self.load: Load | None = None

    def is_loading(self, worker: Worker) -> bool:
        """Whether this is the worker that loads."""
        return self.load is not None and self.load.worker is worker

    async def begin(self, why: str, *, first: bool) -> Worker:
        """Load the bot. The first load has no time limit: somebody watches it, and can press Ctrl-C."""
        self.drop()
        self._count += 1
        trace = self._folder / f"trace-{self._count}"
        announce = first and not self._plan.is_public
        job = WorkerJob(run=self._plan.job(self._folder), trace=str(trace), announce=announce)
        worker = await self._fork_server.fork(job)
        self.drop()  # another may have begun meanwhile
        self.load = load = Load(worker, trace, why)
        if not first:
            self._waiting = asyncio.create_task(self._give_up(load), name="deadline")
        return worker

    def finish(self) -> Load:
        """It is loaded, or has failed: nothing is being loaded any more."""
        assert self.load is not None
        load, self.load = self.load, None
        load.trace.unlink(missing_ok=True)
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()
        return load

    def drop(self) -> None:
        """End what is being loaded."""
        if self.load is not None:
            self.finish().worker.kill()

    async def _give_up(self, load: Load) -> None:
        """It hangs: see where, and end it."""
        await asyncio.sleep(self._plan.load_secs)
        load.worker.signal(signal.SIGUSR1)
        await asyncio.sleep(TRACE_S)
        trace = load.trace.read_text(errors="replace") if load.trace.exists() else ""
        load.worker.kill()
        if load is self.load:
            bot = self._plan.bot
            self._on_hang(hanging(trace, lambda file: is_users_file(file, bot), self._plan.load_secs))


class Rollout:
    """The workers that accept, one after the other.

    Attributes:
        current: the worker that accepts calls, if one does.
        failure: what is wrong with the code on disk.
        has_begun: whether any has ever accepted.
    """

    def __init__(self) -> None:
        self.current: Worker | None = None
        self.failure: Failure | None = None
        self.has_begun = False
        self._waiting_calls: list[dict[str, Any]] = []
        self._news = "", 0.0

    def switch(self, load: Load) -> None:
        """The loaded worker accepts: retire the one before, and pass on the calls that wait."""
        worker, old, was_broken = load.worker, self.current, self.failure is not None
        self.current, self.failure = worker, None
        self._news = load.why + ("fixed; " if was_broken else ""), load.begun
        if old is not None:
            old.send(Retire())
        elif self.has_begun:
            self.log_switch()
        self.has_begun = True
        self._send_code_state()
        for call in self._waiting_calls:
            worker.send(TakeCall(call=call))
        self._waiting_calls.clear()

    def log_switch(self) -> None:
        """The worker before holds its calls, or there was none: the new code answers."""
        what, begun = self._news
        logger.info("%sthe new code answers (%.2f s)", what, time.monotonic() - begun)

    def broken(self, failure: Failure) -> None:
        """The code on disk does not load; the worker that accepts goes on."""
        self.failure = failure
        if not self.has_begun:
            return  # the run ends with this failure
        logger.error("%s", failure.shown())
        logger.info(
            "the previous code keeps serving; fix the error and save"
            if self.current is not None
            else "no calls are accepted until the error is fixed and saved"
        )
        self._send_code_state()

    def move(self, worker: Worker, call: dict[str, Any]) -> None:
        """Pass a call of this worker to the one that accepts now, or next."""
        if self.current is not None and self.current is not worker:
            self.current.send(TakeCall(call=call))
        else:
            self._waiting_calls.append(call)

    def _send_code_state(self) -> None:
        if self.current is not None:
            self.current.send(CodeState(failure=self.failure))


class EndedWorkers:
    """What a run's workers counted: the latest totals of each that lives, and the sum of those that ended."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, Any]] = {}
        self._sum = CallTotals()
        self._ended: list[str] = []

    def update(self, worker: Worker, totals: dict[str, Any]) -> None:
        """A worker has reported what it counted."""
        self._latest[worker.id] = totals

    def last(self, worker: Worker) -> LastTotals | None:
        """For the other workers, when one ends; None if it never reported."""
        totals = self._latest.get(worker.id)
        return None if totals is None else LastTotals(worker=worker.id, totals=totals)

    def close(self, worker: Worker) -> None:
        """It has ended."""
        totals = self._latest.pop(worker.id, None)
        if totals is not None:
            self._ended.append(worker.id)
            ended = CallTotals.read(totals)
            ended.active.clear()
            self._sum = added([self._sum, ended])

    def sum(self) -> EndedTotals:
        """For a worker that begins."""
        return EndedTotals(totals=self._sum.packed(), workers=tuple(self._ended))


class RunView:
    """A supervised run, as the terminal sees and controls it.

    Args:
        rollout: which worker accepts.
        restart: loads the bot again.
        stop: ends the run.
    """

    def __init__(self, rollout: Rollout, *, restart: Callable[[], None], stop: Callable[[], None]) -> None:
        self._rollout = rollout
        self._restart = restart
        self._stop = stop
        self._state: Mapping[str, Any] = {}

    def update(self, worker: Worker, state: Mapping[str, Any]) -> None:
        """A worker has answered `look`."""
        if worker is self._rollout.current:
            self._state = state

    def look(self) -> None:
        """Ask the accepting worker for the state of all calls."""
        if self._rollout.current is not None:
            self._rollout.current.send(AskState())

    def state(self) -> Mapping[str, Any]:
        """As `/status`, at the last `look`; empty while no worker accepts."""
        return self._state if self._rollout.current is not None else {}

    def notice(self) -> str:
        """What is wrong with the code on disk; empty if nothing is."""
        failure = self._rollout.failure
        return failure.shown() if failure is not None else ""

    def announce(self) -> None:
        """Have the accepting worker show where the run can be reached."""
        if self._rollout.current is not None:
            self._rollout.current.send(Announce())

    def open_page(self, path: str = "") -> None:
        """Have the accepting worker open the run's page in a browser, or the one at `path`."""
        if self._rollout.current is not None:
            self._rollout.current.send(OpenPage(path=path))

    def restart(self) -> None:
        """Load the bot again; conversations move, as with a save."""
        self._restart()

    def stop(self) -> None:
        """End the run, as Ctrl-C does."""
        self._stop()
