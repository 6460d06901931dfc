"""Runs a load: starts the bot and the caller processes, and reads the server's counters meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.callers.bot_process import BotProcess, die_with_parent
from runner.callers.load import LoadPlan, Schedule, WorkerPlan, shares
from runner.callers.load.report import LoadReport, merge
from runner.callers.load.server import Meter, Reading, ask, callers_cores, other_cores, pid_of
from runner.errors import BotrunError
from runner.records.folder import calls_folder
from runner.records.reports import keep_failed
from runner.settings import child_environment

PREPARED_WITHIN_S = 60.0
EXIT_WITHIN_S = 1.0

LINE_LIMIT_BYTES = 1 << 28
"""A result is one line."""


class LoadError(BotrunError):
    """The load could not be made."""


class CallerProcesses:
    """The caller processes.

    Attributes:
        counts: of each process: connected calls, failed calls.
        results: the measurements of each process, after the load.
    """

    def __init__(self, plan: LoadPlan, url: str) -> None:
        self._plans = [
            WorkerPlan(
                transport=plan.transport,
                url=url,
                scenario=plan.scenario,
                numbers=numbers,
                calls=plan.calls,
                duration_s=plan.duration_s,
                ramp_s=plan.ramp_s,
                insecure=plan.insecure,
            )
            for numbers in shares(plan.calls, plan.procs)
        ]
        self._processes: list[asyncio.subprocess.Process] = []
        self.counts: list[tuple[int, int]] = [(0, 0)] * len(self._plans)
        self.results: list[dict[str, Any]] = []

    async def __aenter__(self) -> CallerProcesses:
        try:
            for plan in self._plans:
                self._processes.append(await _start(plan))
            async with asyncio.timeout(PREPARED_WITHIN_S):
                for process in self._processes:
                    await self._read(process, "ready")
        except TimeoutError:
            await self._end()
            raise LoadError(f"the callers were not ready within {PREPARED_WITHIN_S:g} s") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._end()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    @property
    def up(self) -> int:
        return sum(up for up, _ in self.counts)

    @property
    def failed(self) -> int:
        return sum(failed for _, failed in self.counts)

    def say(self, words: str) -> None:
        """Send a line to all processes."""
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(f"{words}\n".encode())

    async def finish(self) -> None:
        """Read until each process has sent its result."""
        await asyncio.gather(*(self._follow(index) for index in range(len(self._processes))))

    async def _follow(self, index: int) -> None:
        message = await self._read(self._processes[index], "result", index)
        self.results.append(message["result"])

    async def _read(self, process: asyncio.subprocess.Process, wanted: str, index: int = 0) -> dict[str, Any]:
        """The next message with the key `wanted`."""
        assert process.stdout is not None
        async for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "error" in message:
                raise LoadError(message["error"])
            if "up" in message:
                self.counts[index] = message["up"], message["failed"]
            if wanted in message:
                return message
        raise LoadError(f"a process of callers ended with status {await process.wait()}; see above")

    async def _end(self) -> None:
        """Close their input, on which they exit; kill those that do not."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        waits = [asyncio.create_task(process.wait()) for process in self._processes]
        if not waits:
            return
        await asyncio.wait(waits, timeout=EXIT_WITHIN_S)
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    # Not `process.kill()`: it may reap the process before asyncio does, which then warns.
                    os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait(waits)


async def _start(plan: WorkerPlan) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "runner.callers.load.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment({}),
        limit=LINE_LIMIT_BYTES,
        # Ctrl-C must reach only the parent, which asks for the results so far.
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )
    assert process.stdin is not None
    process.stdin.write(f"{plan.to_json()}\n".encode())
    return process


HEAD_START_S = 0.3
LOOK_EVERY_S = 0.25
RESULT_WITHIN_S = 120.0
"""Maximum time (s) for the callers to search for echoes after the load."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress. `phase`: "bot", "callers", "ramp", "measuring" or "reckoning"; `part`: share of it done."""

    phase: str
    part: float = 0.0
    up: int = 0
    failed: int = 0
    left_s: float = 0.0
    server_cores: float | None = None


OnProgress = Callable[[Progress], None]


async def run_load(plan: LoadPlan, on_progress: OnProgress, stop: asyncio.Event) -> LoadReport:
    """Run a load; once `stop` is set it ends at once, with the results so far.

    Raises:
        BotStartError: the bot did not start.
        LoadError: the callers could not start.
    """
    on_progress(Progress("bot"))
    begun = time.time()
    async with _server(plan) as (url, pid):
        meter = Meter(pid)
        on_progress(Progress("callers"))
        async with CallerProcesses(plan, url) as callers:
            report = await _Load(plan, callers, meter, on_progress, stop).run()
        # The server's counters belong to this load only if it was started for it.
        if plan.file is None:
            return report
        report = replace(report, word=await asyncio.to_thread(ask, url))
    failed = await asyncio.to_thread(keep_failed, calls_folder(), {pid or 0}, begun)
    return replace(report, records=tuple(map(str, failed)))


@contextlib.asynccontextmanager
async def _server(plan: LoadPlan) -> AsyncIterator[tuple[str, int | None]]:
    if plan.file is None:
        assert plan.url is not None
        yield plan.url, plan.pid or await asyncio.to_thread(pid_of, plan.url)
        return
    async with BotProcess(plan.file, plan.transport, body=plan.body, reload=False).running() as bot:
        yield bot.url, bot.pid


class _Load:
    """One load, from its start to its report."""

    def __init__(
        self,
        plan: LoadPlan,
        callers: CallerProcesses,
        meter: Meter,
        on_progress: OnProgress,
        stop: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._callers = callers
        self._meter = meter
        self._on_progress = on_progress
        self._stop = stop
        self._schedule = Schedule(time.monotonic() + HEAD_START_S, plan.ramp_s, plan.duration_s)

    async def run(self) -> LoadReport:
        callers, schedule = self._callers, self._schedule
        callers.say(f"go {schedule.start_at!r}")
        finishing = asyncio.create_task(callers.finish(), name="results")
        try:
            start = self._read()
            await self._watch("ramp", schedule.start_at, schedule.from_at, finishing)
            begin = self._read()
            await self._watch("measuring", begin.at, schedule.until_at, finishing)
            end, up = self._read(), callers.up
            stopped = self._stop.is_set()
            if stopped:
                callers.say("stop")
            # If stopped before the measurement began, measure everything, as the callers do.
            begin = begin if begin.at < end.at - LOOK_EVERY_S else start
            self._on_progress(Progress("reckoning", up=up, failed=callers.failed))
            async with asyncio.timeout(RESULT_WITHIN_S):
                await finishing
        except TimeoutError:
            raise LoadError(f"the callers sent no result within {RESULT_WITHIN_S:g} s") from None
        finally:
            finishing.cancel()
            await asyncio.gather(finishing, return_exceptions=True)
        return self._report(begin, end, up, callers.results, stopped)

    def _read(self) -> Reading:
        return self._meter.read(self._callers.pids)

    async def _watch(self, phase: str, begin: float, until: float, finishing: asyncio.Task[None]) -> None:
        """Report progress until this time, or until the load is stopped."""
        before = self._read()
        cores = None
        while (now := time.monotonic()) < until and not self._stop.is_set() and not finishing.done():
            self._meter.look()
            if now - before.at >= 1.0:
                before, cores = (after := self._read()), self._cores(before, after)
            part = (now - begin) / max(1e-9, until - begin)
            self._on_progress(
                Progress(
                    phase,
                    min(1.0, max(0.0, part)),
                    self._callers.up,
                    self._callers.failed,
                    until - now,
                    cores,
                )
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_EVERY_S, until - now)):
                    await self._stop.wait()

    def _cores(self, before: Reading, after: Reading) -> float | None:
        if not self._meter.knows_server:
            return None
        return (after.server_s - before.server_s) / (after.at - before.at)

    def _report(
        self, begin: Reading, end: Reading, up: int, results: Sequence[dict[str, Any]], stopped: bool
    ) -> LoadReport:
        return merge(
            self._plan,
            results,
            start_at=self._schedule.start_at,
            up=up,
            server=self._meter.use(begin, end, up),
            callers_cores=callers_cores(begin, end),
            others=other_cores(begin, end),
            stopped=stopped,
        )
