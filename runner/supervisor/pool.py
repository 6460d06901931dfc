"""`botrun serve`: the parent of several workers that all accept calls, and of their replacements.

    supervisor (port) ── dispatch ──▶ worker 1, worker 2 …      each connection goes to one of them
                      ◀── WorkerLoad ────── calls, CPU, lag, memory
                      ── RunCarries ▶ what all carry: at capacity, each refuses in its caller's way

A worker that dies takes only its own calls; the keeper hangs them up at the provider. SIGTERM drains, SIGHUP
replaces all workers (new code, old calls finish).
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
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from runner.botcode.failure import Failure
from runner.errors import BotrunError
from runner.server.wire.handed import MAIN, NAME, PUBLIC
from runner.sessions.admission import RunLoad
from runner.supervisor.busy_answers import BusyAnswers
from runner.supervisor.crash_loop import CrashLoop
from runner.supervisor.dispatch import Dispatcher
from runner.supervisor.members import Member, Members, PoolPlan
from runner.supervisor.processes import CrashLimiter, ForkServer, Worker, end_workers, how_it_ended
from runner.supervisor.public_keeper_client import KeeperOwner, PublicKeeperClient
from runner.supervisor.rollout import EndedWorkers, RunPlan
from runner.worker.encoding import MessageChannel
from runner.worker.fork_server import modules_for
from runner.worker.messages import (
    Accept,
    Accepting,
    Announce,
    Drain,
    FromWorker,
    Loaded,
    LoadFailed,
    PoolJob,
    Retire,
    RunCarries,
    Totals,
    ToWorker,
    WorkerJob,
    WorkerLoad,
)
from runner.worker.shutdown import END_AT_ONCE

logger = logging.getLogger(__name__)

FORCED_STATUS = 130
STOP_S, PUBLIC_STOP_S = 5.7, 12.2
"""As in `supervisor/__init__.py`: what workers may take to end after `BOTRUN_SHUTDOWN_SECS`."""

STUCK_S = 30.0
"""A process for one call that does not report for so long (s) is ended: its caller hears nothing."""
SETTLE_S, PUBLIC_SETTLE_S = 0.6, 3.0
"""A drained run waits so long (s) for calls that were answered just before: their sound is on its way."""


class WorkerPool:
    """Runs a bot on several workers until SIGTERM.

    Args:
        plan: what is run.
        pool: on how many workers, and within which limits.
        listener: the port.
        public: the port for carriers, if the run has a public address.
    """

    def __init__(
        self, plan: RunPlan, pool: PoolPlan, listener: socket.socket, public: socket.socket | None = None
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._ports = {MAIN: listener} | ({PUBLIC: public} if public is not None else {})
        self._busy = BusyAnswers(list(self._ports.values()))
        self._members = Members()
        self._keeper: PublicKeeperClient | None = None
        self._keeper_crashes = CrashLimiter()
        self._loop_of_crashes = CrashLoop()
        self._ended_workers = EndedWorkers()
        self._carries = RunLoad(workers=0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._outcome: BotrunError | int = 0
        self._signals = 0
        self._has_begun = False

    async def run(self) -> int:
        """Returns the exit status.

        Raises:
            BotrunError: the bot could not be loaded when the run began.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._replace_all)
        self._folder = Path(tempfile.mkdtemp(prefix="botrun-"))  # mode 0700
        isolates = bool(self._pool.spare)
        self._dispatcher = Dispatcher(self._ports, self._folder / NAME, isolates=isolates)
        self._fork_server = ForkServer(
            self._plan.program, list(self._ports.values()), self._ended, lambda notes: None
        )
        try:
            plan = self._plan
            self._fork_server.prepare(modules_for(plan.bot, plan.transports, is_public=plan.is_public))
            if plan.is_public:
                owner = KeeperOwner(
                    spawn=self._spawn, announce=self._announce, renew=self._renew, end=self._end
                )
                self._keeper = PublicKeeperClient(self._fork_server, plan.job(self._folder), owner)
                await self._keeper.start()
            self._fill()
            await self._over.wait()
            await self._end_processes()
        finally:
            await self._close()
        if isinstance(self._outcome, BotrunError):
            raise self._outcome
        return self._outcome

    # ------------------------------------------------------------ workers

    def _fill(self) -> None:
        """Fork what is missing."""
        for _ in range(self._pool.workers - self._members.count):
            self._spawn(self._fork(self._members.begin()))
        for _ in range(self._pool.spare - self._members.waiting if not self._signals else 0):
            self._spawn(self._fork(self._members.begin(single=True)))

    async def _fork(self, member: Member, wait_s: float = 0.0) -> None:
        await asyncio.sleep(wait_s)
        job = WorkerJob(
            run=self._plan.job(self._folder),
            trace=str(self._folder / f"trace-{member.number}"),
            announce=member.number == 1 and not self._plan.is_public,
            pool=PoolJob(calls=self._most(member)),
        )
        member.worker = await self._fork_server.fork(job)
        await self._listen(member, member.worker)

    def _most(self, member: Member) -> int:
        """Calls that this worker takes; 0 is no limit."""
        return 1 if member.single else 0 if self._pool.spare else self._pool.capacity

    async def _listen(self, member: Member, worker: Worker) -> None:
        channel = MessageChannel[FromWorker](worker.channel, FromWorker, f"worker {worker.id}")
        async for message in channel.messages():
            self._take(member, worker, message)
        await worker.ended.wait()
        await channel.aclose()

    def _take(self, member: Member, worker: Worker, message: FromWorker) -> None:
        match message:
            case Loaded():
                worker.send(self._ended_workers.sum())
                self._dispatcher.expect(worker.id, self._most(member), single=member.single)
                self._spawn(self._let_accept(worker))
            case Accepting():
                self._accepts(member, worker)
            case LoadFailed(failure=failure):
                self._load_failed(failure)
            case WorkerLoad():
                self._carry(member, worker, message)
            case Totals(totals=totals, last=last):
                self._ended_workers.update(worker, totals)
                if last:
                    self._send_others(worker, self._ended_workers.last(worker))
            case _:
                pass  # what belongs to reloading

    async def _let_accept(self, worker: Worker) -> None:
        worker.send(Accept(public=await self._keeper.address() if self._keeper is not None else None))

    def _accepts(self, member: Member, worker: Worker) -> None:
        member.accepting_since = time.monotonic()
        self._busy.stop()
        worker.send(RunCarries(load=self._carries))
        log = logger.debug if member.single else logger.info
        log("worker %s (pid %d) accepts calls", worker.id, worker.pid)
        if not self._has_begun:
            self._has_begun = True
            self._fork_server.prepare_more()
        if self._keeper is not None:
            self._keeper.open()
        if (old := member.replaces) is not None:
            member.replaces = None
            self._retire(old)

    def _load_failed(self, failure: Failure) -> None:
        if not self._has_begun:
            if self._plan.fixed.get("verbose"):
                print(failure.traceback, end="", file=sys.stderr)
            self._end(failure.raised())
        elif not self._loop_of_crashes.is_loop:
            logger.error("%s", failure.shown())

    # ------------------------------------------------------------ what they carry

    def _carry(self, member: Member, worker: Worker, load: WorkerLoad) -> None:
        member.load, member.reported_at = load, time.monotonic()
        self._dispatcher.report(worker.id, load.calls + load.reserved)
        if member.lasted() and self._loop_of_crashes.lasts():
            logger.info("workers last again")
        limit_mb = self._pool.memory_mb
        if limit_mb and load.memory_mb > limit_mb and self._members.may_replace(member):
            self._replace(member, f"uses {load.memory_mb:.0f} MB (BOTRUN_WORKER_MEMORY={limit_mb})")
        if member.single:
            self._carry_one(member, load)
        self._publish()

    def _carry_one(self, member: Member, load: WorkerLoad) -> None:
        """A process for one call: another one takes its place as soon as it has it, and it ends with it."""
        if load.calls and not member.used:
            member.used = True
            self._fill()
        elif member.used and not load.calls and not member.retiring:
            self._retire(member)
        for stuck in self._members.stuck(STUCK_S):
            logger.error(
                "worker %s: the bot has blocked it for %g s; botrun ends it", stuck.worker_id, STUCK_S
            )
            stuck.kill()

    def _publish(self) -> None:
        """Let all workers know what they carry together, if that has changed."""
        carries = self._pool.carried(self._members)
        if carries == self._carries:
            return
        if self._keeper is not None and carries.capacity != self._carries.capacity:
            limits = (carries.capacity, self._pool.public_calls)
            self._keeper.allow(min((limit for limit in limits if limit), default=0))
        self._carries = carries
        for member in self._members.accepting:
            member.send(RunCarries(load=carries))

    def _replace(self, member: Member, why: str) -> None:
        """A new worker takes over; this one finishes its calls."""
        logger.info("worker %s %s; botrun replaces it, and its calls finish there", member.worker_id, why)
        self._spawn(self._fork(self._members.begin(member)))

    def _replace_all(self) -> None:
        self._renew("SIGHUP: ")

    def _renew(self, why: str) -> None:
        for member in self._members.accepting:
            if member.single and not member.used:
                self._retire(member)
            elif self._members.may_replace(member):
                self._replace(member, f"is replaced ({why.strip(': ')})")

    def _retire(self, member: Member) -> None:
        member.retiring = True
        self._dispatcher.unseat(member.worker_id)
        member.send(Retire())
        self._publish()

    def _announce(self) -> None:
        for member in self._members.accepting[:1]:
            member.send(Announce())

    # ------------------------------------------------------------ ends

    def _ended(self, worker: Worker) -> None:
        """A worker's process is gone."""
        if self._over.is_set():
            return
        if self._fork_server.failed.is_set():
            self._end(BotrunError("the fork server of the workers died; botrun exits"))
        elif self._keeper is not None and self._keeper.is_kept_by(worker):
            self._keeper.lost(how_it_ended(worker.status), self._keeper_crashes.crashed())
        elif (member := self._members.drop(worker)) is not None:
            self._dispatcher.unseat(worker.id)
            self._send_others(worker, self._ended_workers.last(worker))
            self._ended_workers.close(worker)
            self._publish()
            if member.single and (member.retiring or member.used):
                self._ended_single(member, worker)
            elif member.retiring:
                logger.info("worker %s has finished its calls and ended", worker.id)
            elif not self._signals:
                self._crashed(member, worker)

    def _ended_single(self, member: Member, worker: Worker) -> None:
        if not member.retiring:
            how = how_it_ended(worker.status)
            logger.error("worker %s (pid %d) %s, and its call with it", worker.id, worker.pid, how)
        self._fill()

    def _crashed(self, member: Member, worker: Worker) -> None:
        if not self._has_begun:
            self._end(BotrunError(f"a worker {how_it_ended(worker.status)} while it loaded the bot"))
            return
        if not self._members.accepting:
            self._spawn(self._busy.start())
        crashes = self._loop_of_crashes
        was_loop, wait_s = crashes.is_loop, crashes.ended(member.accepting_since)
        if not crashes.is_loop:
            logger.error(
                "worker %s (pid %d) %s with %d calls; botrun replaces it",
                *(
                    worker.id,
                    worker.pid,
                    how_it_ended(worker.status),
                    member.load.calls if member.load else 0,
                ),
            )
        elif not was_loop:
            logger.error(
                "worker %s (pid %d) %s: crash loop, %d workers ended soon after their start. botrun waits "
                "longer before each further one, up to 30 s, and reports when one lasts",
                *(worker.id, worker.pid, how_it_ended(worker.status), crashes.count),
            )
        self._spawn(self._fork(self._members.begin(member.replaces, single=member.single), wait_s))

    def _send_others(self, worker: Worker, message: ToWorker | None) -> None:
        for other in self._members.workers:
            if other is not worker and message is not None:
                other.send(message)

    def _end(self, outcome: BotrunError | int) -> None:
        if not self._over.is_set():
            self._outcome = outcome
            self._over.set()

    def _signalled(self) -> None:
        self._signals += 1
        if self._signals == 1 and self._has_begun:
            self._spawn(self._drain())
            return
        for worker in self._fork_server.living:
            worker.signal(END_AT_ONCE)  # with what the bot started
        self._outcome = FORCED_STATUS
        self._end(FORCED_STATUS)

    async def _drain(self) -> None:
        """No new calls; those under way may end by themselves."""
        begun, grace_s = time.monotonic(), self._pool.grace_s
        calls = self._members.calls
        logger.info(
            "draining: %d calls have up to %g s to end; a second signal ends them now", calls, grace_s
        )
        if self._keeper is not None:
            self._keeper.give_back()
        for worker in self._members.workers:
            worker.send(Drain())
        settle_s = min(PUBLIC_SETTLE_S if self._keeper is not None else SETTLE_S, grace_s)
        while (waited := time.monotonic() - begun) < grace_s:
            if waited >= settle_s and not self._members.calls:
                break
            await asyncio.sleep(0.1)
        waited = time.monotonic() - begun
        logger.info("drained after %.1f s; %d calls are ended", waited, self._members.calls)
        self._end(0)

    async def _end_processes(self) -> None:
        """Ask all to end, and wait; the keeper ends last."""
        until = time.monotonic() + float(self._plan.fixed.get("shutdown_secs", 0.0))
        until += PUBLIC_STOP_S if self._keeper is not None else STOP_S
        if self._keeper is not None:
            self._keeper.give_back()
        await end_workers(self._members.workers, until)
        if self._keeper is not None:
            await self._keeper.close(until - time.monotonic())

    async def _close(self) -> None:
        self._busy.stop()
        self._dispatcher.close()
        await self._fork_server.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the supervisor failed", exc_info=error)
