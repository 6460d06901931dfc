"""The worker that does not accept yet: it is forked, given time, and asked where it hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.botcode.failure import Failure, hanging
from runner.botcode.location import is_users_file
from runner.settings.table import FIXED as FIXED
from runner.supervisor.processes import ForkServer, Worker
from runner.worker.spec import RunJob, WorkerJob

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
        announce: module:function that is given the `Host` when calls are first accepted.
        load_secs: how long the import of an edited bot may take (s).
        is_public: whether it has a public address; then that is announced when it leads here.
    """

    typed: str
    bot: Path
    flags: dict[str, Any]
    fixed: dict[str, Any]
    transports: Sequence[str]
    announce: str
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
        announce = self._plan.announce if first and not self._plan.is_public else ""
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
