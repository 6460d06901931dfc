"""The worker that has not accepted yet: forked, given time, and asked where it hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.botcode.failure import Failure, hanging
from runner.supervisor.processes import Nursery, Worker

TRACE_S = 0.2
FIXED = (
    *("host", "port", "transports", "open_page", "verbose", "log", "reload", "watch"),
    *("https", "certificate", "login_key"),
    *("proxy", "tunnel", "tunnel_via", "public_port", "number", "accept_unsigned_webhooks"),
    *("max_public_calls", "max_calls_per_caller", "max_starts_per_min", "max_public_call_secs"),
    *("provider_api", "state_dir"),
)
"""Settings of the run, which a `.env` that was edited does not change."""


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
        announce: module:function that is given the `Host` when calls are first taken.
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

    def job(self, folder: Path) -> dict[str, Any]:
        """What each process of the run is told at its birth. `folder` is the run's own."""
        return {
            "typed": self.typed,
            "file": str(self.bot),
            "flags": self.flags,
            "fixed": self.fixed,
            "folder": str(folder),
        }


@dataclass(frozen=True)
class Load:
    """A worker that has not accepted yet, and why it was begun, to be told before "the new code answers"."""

    worker: Worker
    trace: Path
    why: str
    begun: float = field(default_factory=time.monotonic)


class Loader:
    """Has at most one worker load the bot; what is saved meanwhile makes it begin again.

    Args:
        plan: what is run.
        nursery: where workers are forked.
        folder: of this run alone, for traces.
        on_hang: given the failure when a bot is still being imported after `load_secs`.
    """

    def __init__(
        self, plan: RunPlan, nursery: Nursery, folder: Path, on_hang: Callable[[Failure], None]
    ) -> None:
        self._plan = plan
        self._nursery = nursery
        self._folder = folder
        self._on_hang = on_hang
        self._waiting: asyncio.Task[None] | None = None
        self._count = 0
        self.load: Load | None = None

    def is_loading(self, worker: Worker) -> bool:
        """Whether it is this one that loads."""
        return self.load is not None and self.load.worker is worker

    async def begin(self, why: str, *, first: bool) -> Worker:
        """Load the bot anew. The first may take its time: somebody looks on."""
        self.drop()
        self._count += 1
        trace = self._folder / f"trace-{self._count}"
        announce = self._plan.announce if first and not self._plan.is_public else ""
        job = {**self._plan.job(self._folder), "trace": str(trace), "announce": announce}
        worker = await self._nursery.fork(job)
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
            self._on_hang(hanging(trace, self._is_users, self._plan.load_secs))

    def _is_users(self, file: Path) -> bool:
        return file.is_relative_to(self._plan.bot.parent) and "site-packages" not in file.parts
