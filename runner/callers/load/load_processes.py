"""Makes a load: starts the bot, then the processes of callers, and reads the server's meter meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runner.callers.bot_process import BotProcess
from runner.callers.load.meter import Meter, Reading, callers_cores, other_cores
from runner.callers.load.plan import LoadPlan, Schedule
from runner.callers.load.processes import Gang, LoadError
from runner.callers.load.report import LoadReport, merge
from runner.callers.load.server_word import ask
from runner.callers.load.target import pid_of

HEAD_START_S = 0.3
LOOK_EVERY_S = 0.25
RESULT_WITHIN_S = 120.0
"""The callers look for the echoes when the load is over."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is. `phase`: "bot", "callers", "ramp", "measuring" or "reckoning"; `part` of it (0 to 1)."""

    phase: str
    part: float = 0.0
    up: int = 0
    failed: int = 0
    left_s: float = 0.0
    server_cores: float | None = None


OnProgress = Callable[[Progress], None]


async def run_load(plan: LoadPlan, on_progress: OnProgress, stop: asyncio.Event) -> LoadReport:
    """Make the load; when `stop` is set it ends at once, with what was measured so far.

    Raises:
        BotStartError: the bot did not start.
        LoadError: the callers could not begin.
    """
    on_progress(Progress("bot"))
    async with _server(plan) as (url, pid):
        meter = Meter(pid)
        on_progress(Progress("callers"))
        async with Gang(plan, url) as gang:
            report = await _Load(plan, gang, meter, on_progress, stop).run()
        # Its counters are this load's only if it was started for it.
        return replace(report, word=await asyncio.to_thread(ask, url)) if plan.file else report


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
        self, plan: LoadPlan, gang: Gang, meter: Meter, on_progress: OnProgress, stop: asyncio.Event
    ) -> None:
        self._plan = plan
        self._gang = gang
        self._meter = meter
        self._on_progress = on_progress
        self._stop = stop
        self._schedule = Schedule(time.monotonic() + HEAD_START_S, plan.ramp_s, plan.duration_s)

    async def run(self) -> LoadReport:
        gang, schedule = self._gang, self._schedule
        gang.say(f"go {schedule.start_at!r}")
        finishing = asyncio.create_task(gang.finish(), name="results")
        try:
            start = self._read()
            await self._watch("ramp", schedule.start_at, schedule.from_at, finishing)
            begin = self._read()
            await self._watch("measuring", begin.at, schedule.until_at, finishing)
            end, up = self._read(), gang.up
            stopped = self._stop.is_set()
            if stopped:
                gang.say("stop")
            # Stopped before the measuring began: then all is measured, as the callers do it.
            begin = begin if begin.at < end.at - LOOK_EVERY_S else start
            self._on_progress(Progress("reckoning", up=up, failed=gang.failed))
            async with asyncio.timeout(RESULT_WITHIN_S):
                await finishing
        except TimeoutError:
            raise LoadError(f"the callers told no result within {RESULT_WITHIN_S:g} s") from None
        finally:
            finishing.cancel()
            await asyncio.gather(finishing, return_exceptions=True)
        return self._report(begin, end, up, gang.results, stopped)

    def _read(self) -> Reading:
        return self._meter.read(self._gang.pids)

    async def _watch(self, phase: str, begin: float, until: float, finishing: asyncio.Task[None]) -> None:
        """Until that time, or until it is stopped."""
        before = self._read()
        cores = None
        while (now := time.monotonic()) < until and not self._stop.is_set() and not finishing.done():
            self._meter.look()
            if now - before.at >= 1.0:
                before, cores = (after := self._read()), self._cores(before, after)
            part = (now - begin) / max(1e-9, until - begin)
            self._on_progress(
                Progress(
                    phase, min(1.0, max(0.0, part)), self._gang.up, self._gang.failed, until - now, cores
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
