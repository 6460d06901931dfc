"""Runs a load for the terminal, and ends it with its figures when Ctrl-C is pressed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from runner.callers.load.chart import over_calls, over_time
from runner.callers.load.load_processes import run_load
from runner.callers.load.report import Carried, until_it_breaks
from runner.cli.capacity_file import note
from runner.errors import STOPPED_BY_CTRL_C

if TYPE_CHECKING:
    from runner.callers.load import LoadPlan
    from runner.callers.load.report import LoadReport
    from runner.cli.load.view import LoadView

FAILED = 1
CALLS_PER_PROC = 100

T = TypeVar("T")


def procs_for(calls: int) -> int:
    """How many processes of callers."""
    return max(1, min(os.cpu_count() or 1, -(-calls // CALLS_PER_PROC)))


def run_once(plan: LoadPlan, view: LoadView, *, plot: str | None, as_json: bool) -> int:
    """One load. Returns the exit status."""

    async def run(stop: asyncio.Event) -> LoadReport:
        with view.showing():
            return await run_load(plan, view.progress, stop)

    report = asyncio.run(_stoppable(run))
    if plot is not None:
        over_time(report).save(Path(plot))
    if as_json:
        view.print_json(report.as_dict())
    else:
        view.show(report, plot)
    if report.stopped:
        return STOPPED_BY_CTRL_C
    return 0 if report.holds and not report.callers.saturated else FAILED


def search(plan: LoadPlan, view: LoadView, *, plot: str | None, procs: int | None, as_json: bool) -> int:
    """Find how many calls the server carries. Returns the exit status."""

    view.searches()

    async def run(stop: asyncio.Event) -> Carried:
        async def one(step: LoadPlan) -> LoadReport:
            step = replace(step, procs=procs or procs_for(step.calls))
            with view.showing():
                report = await run_load(step, view.progress, stop)
            view.tried(report)
            return report

        return await until_it_breaks(plan, one, stop)

    carried = asyncio.run(_stoppable(run))
    if plan.file is not None and carried.calls and carried.limit in {"server", "most"}:
        note(Path(plan.file), plan.transport, plan.scenario, carried.calls)
    if plot is not None:
        over_calls(carried).save(Path(plot))
    if as_json:
        view.print_json(carried.as_dict())
    else:
        view.show_carried(carried, plot)
    return STOPPED_BY_CTRL_C if carried.limit == "stopped" else 0


async def _stoppable(run: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """The first Ctrl-C ends the load with what was measured so far, the second everything."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    task = asyncio.ensure_future(run(stop))

    def on_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
