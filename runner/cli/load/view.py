"""Runs a load and shows it on the terminal: progress, then the figures; Ctrl-C ends it with those so far."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from runner.callers.load import ECHO
from runner.callers.load.chart import over_calls, over_time
from runner.callers.load.load_processes import run_load
from runner.callers.load.report import CRITERION, MOST_P95_MS, Carried, until_it_breaks
from runner.cli.capacity_file import note
from runner.errors import STOPPED_BY_CTRL_C

if TYPE_CHECKING:
    from runner.callers.load import LoadPlan, load_processes
    from runner.callers.load.report import LoadReport, Spread

FAILED = 1
CALLS_PER_PROC = 100

GOOD_ECHO_MS, GOOD_TURN_MS, FAIR_TURN_MS, GOOD_STOP_MS, FAIR_STOP_MS = 150, 800, 1500, 300, 600
"""Limits of green and of amber figures; the amber limit of the echo is 250 ms."""

Row = tuple[str, str]

T = TypeVar("T")


def rows(report: LoadReport) -> Iterator[Row]:
    """The figures of a load as rows of the table."""
    yield "calls", _calls(report)
    for sentence, count in report.failures[:3]:
        yield "", f"[red]{count} × {escape(sentence)}[/red]"
    for folder in report.records[:3]:
        yield "recorded", escape(folder)
    yield from _latencies(report)
    yield "underruns", _underruns(report)
    for name, sentences in (("not met", report.missed), ("protocol", report.violations)):
        for sentence, count in sentences[:3]:
            yield name, f"[red]{count} × {escape(sentence)}[/red]"
    yield from _server(report)
    yield from _word(report)
    yield "callers", _callers(report)
    yield from _verdict(report)


def _calls(report: LoadReport) -> str:
    colour = "green" if report.up == report.calls else "red"
    talks = f", {report.talks} talks" if report.talks else ""
    stopped = ", [yellow]stopped[/yellow]" if report.stopped else ""
    up = (
        f"[{colour}]{report.up} of {report.calls}[/{colour}] up"
        if report.scenario == ECHO
        else f"{report.calls} callers"
    )
    answered = (
        "" if report.connect_ms.p50 is None else f", answered within {report.connect_ms.p50:.0f} ms p50"
    )
    return f"{up}{talks}{answered}; measured for {report.duration_s:.1f} s{stopped}"


def _latencies(report: LoadReport) -> Iterator[Row]:
    if report.scenario == ECHO:
        yield "echo latency", _spread(report.echo_ms, GOOD_ECHO_MS, MOST_P95_MS)
        if report.returned is not None and report.returned_least is not None:
            lost = f", [red]{report.echoes_lost} chirps lost[/red]" if report.echoes_lost else ""
            yield (
                "sound returned",
                f"{report.returned:.1%} (the worst call {report.returned_least:.1%}){lost}",
            )
        return
    yield "turn latency", _spread(report.turn_ms, GOOD_TURN_MS, FAIR_TURN_MS)
    ignored = f", [red]{report.not_stopped} ignored[/red]" if report.not_stopped else ""
    yield "stop latency", _spread(report.stop_ms, GOOD_STOP_MS, FAIR_STOP_MS) + ignored


def _spread(found: Spread, good_ms: float, fair_ms: float) -> str:
    values = (("p50", found.p50), ("p95", found.p95), ("p99", found.p99))
    if found.p50 is None:
        return "nothing to measure"
    words = ", ".join(f"{_coloured(ms, good_ms, fair_ms)} {name}" for name, ms in values if ms is not None)
    return f"{words} (n={found.n})"


def _coloured(ms: float, good_ms: float, fair_ms: float) -> str:
    colour = "green" if ms <= good_ms else "yellow" if ms <= fair_ms else "red"
    return f"[{colour}]{ms:.{0 if ms >= 10 else 1}f} ms[/{colour}]"


def _underruns(report: LoadReport) -> str:
    if not report.underruns:
        return "[green]none[/green]"
    return f"[yellow]{report.underruns}[/yellow], {report.underrun_ms:.0f} ms in all"


def _server(report: LoadReport) -> Iterator[Row]:
    server = report.server
    if server is None:
        yield "server", "process unknown; give --pid to see CPU and memory"
        return
    if server.cpu_ms_per_call_s is not None:
        yield (
            "server CPU",
            f"{server.cpu_ms_per_call_s:.1f} ms per second of call ({server.cpu_cores:.2f} cores)",
        )
    if server.mb_per_call is not None:
        grown = f"{server.idle_mb:.0f} MB before the calls, {server.peak_mb:.0f} MB at most"
        yield "server memory", f"{server.mb_per_call:.2f} MB per call ({grown}; {server.threads} threads)"


def _word(report: LoadReport) -> Iterator[Row]:
    """The server's own figures."""
    word = report.word
    if word is None:
        return
    lag = "over 1 s" if word.loop_lag_ms is None else f"within {word.loop_lag_ms:g} ms"
    faults = [
        f"{word.underruns} underruns" if word.underruns else "",
        f"{word.dropped} malformed messages" if word.dropped else "",
        f"{word.dropped_ms:.0f} ms of sound dropped" if word.dropped_ms else "",
        f"{word.refused} calls refused" if word.refused else "",
    ]
    words = ", ".join(fault for fault in faults if fault)
    yield (
        "server says",
        f"loop {lag} p99; " + (f"[yellow]{words}[/yellow]" if words else "nothing dropped or late"),
    )


def _callers(report: LoadReport) -> str:
    callers = report.callers
    late = "" if callers.late_ms.p99 is None else f"late by {callers.late_ms.p99:.1f} ms p99, "
    others = f"; other programs {report.other_cores:.2f} cores" if report.server is not None else ""
    processes = "1 process" if callers.procs == 1 else f"{callers.procs} processes"
    return f"{late}{callers.cpu_cores:.2f} cores in {processes}{others}"


def _verdict(report: LoadReport) -> Iterator[Row]:
    if report.callers.saturated:
        yield (
            "caution",
            "[red]the callers themselves ran late, so these figures are not valid for the server.[/red]"
            " Try fewer calls, more --procs, or a quieter machine.",
        )
    elif report.breaches:
        yield "verdict", f"[red]does not hold[/red]: {escape('; '.join(report.breaches))}"
    elif report.scenario == ECHO:
        yield "verdict", f"[green]holds[/green] [dim]({CRITERION})[/dim]"


PHASES = {
    "bot": "reaching the bot",
    "callers": "starting the callers",
    "ramp": "starting the calls",
    "measuring": "measuring",
    "reckoning": "finding the echoes",
}
PLAIN_EVERY_S = 10.0


class LoadView:
    """Shows a load; plain lines without a terminal, nothing if `quiet`."""

    def __init__(self, plan: LoadPlan, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._searching = False
        self._last_line: tuple[str, float] = ("", 0.0)
        if not quiet:
            target = escape(plan.file or plan.url or "")
            self._console.print(
                f"[dim]load on[/dim] {target} [dim]over {plan.transport}, {plan.scenario}[/dim]"
            )

    # ------------------------------------------------------------ progress

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Show a progress bar while the block runs."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description:<22}"), BarColumn(24), TextColumn("{task.fields[words]}"))
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._task = self._bar.add_task("", total=1.0, words="")
            yield
        self._bar = self._task = None

    def progress(self, now: load_processes.Progress) -> None:
        """Update the progress."""
        words = _progress_words(now)
        if self._bar is not None and self._task is not None:
            # A bar without a total pulses.
            total = 1.0 if now.phase in ("ramp", "measuring") else None
            self._bar.update(
                self._task, description=PHASES[now.phase], completed=now.part, total=total, words=words
            )
        elif not self._quiet and not self._searching:
            phase, at = self._last_line
            if phase != now.phase or time.monotonic() - at >= PLAIN_EVERY_S:
                self._last_line = now.phase, time.monotonic()
                self._console.print(f"{PHASES[now.phase]}{f': {words}' if words else ''}")

    def searches(self) -> None:
        """Show one line per load from now on, because many follow."""
        self._searching = True

    def tried(self, report: LoadReport) -> None:
        """Print a line about a step of the search."""
        if self._quiet:
            return
        mark = "[green]holds [/green]" if report.holds else "[red]breaks[/red]"
        p95 = "-" if report.latency_ms.p95 is None else f"{report.latency_ms.p95:.0f}"
        cores = "" if report.server is None else f", server {report.server.cpu_cores:.2f} cores"
        why = f"  [dim]{escape('; '.join(report.breaches))}[/dim]" if report.breaches else ""
        self._console.print(f"{report.calls:>5} calls  {mark} p95 {p95:>4} ms{cores}{why}")

    # ------------------------------------------------------------ results

    def print_json(self, found: dict[str, Any]) -> None:
        """Print the figures as JSON."""
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

    def show(self, report: LoadReport, plot: str | None) -> None:
        """Print the table of one load."""
        self._table(list(rows(report)))
        self._saved(plot)

    def show_carried(self, carried: Carried, plot: str | None) -> None:
        """Print the result of the search, with the table of the last load that held."""
        held = [step for step in carried.steps if step.holds and step.calls == carried.calls]
        if held:
            self._table(list(rows(held[-1])))
        self._console.print(f"[bold]{_carried(carried)}[/bold]")
        self._console.print(f"[dim]it holds: {CRITERION}[/dim]")
        self._saved(plot)

    def _table(self, found: list[Row]) -> None:
        if not self._console.is_terminal:
            for name, value in found:
                self._console.print(f"{name:<16}{value}")
            return
        table = Table(box=box.ROUNDED, border_style="dim", show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for row in found:
            table.add_row(*row)
        self._console.print(table)

    def _saved(self, plot: str | None) -> None:
        if plot is not None:
            self._console.print(f"[dim]chart[/dim] {escape(plot)}")


def _progress_words(now: load_processes.Progress) -> str:
    if now.phase not in ("ramp", "measuring"):
        return ""
    parts = [f"{now.up} calls", f"{now.failed} failed" if now.failed else ""]
    parts.append("" if now.server_cores is None else f"server {now.server_cores:.2f} cores")
    parts.append(f"{now.left_s:.0f} s left")
    return ", ".join(part for part in parts if part)


def _carried(carried: Carried) -> str:
    match carried.limit:
        case "server":
            return f"one server handles {carried.calls} calls; {carried.broke} are too many"
        case "callers":
            tried = carried.steps[-1].calls
            return f"{carried.calls} calls held; at {tried} the callers ran late (try more --procs)"
        case "stopped":
            return f"stopped: {carried.calls} calls held so far"
        case _:
            return f"{carried.calls} calls held, and no more are tried"


# ------------------------------------------------------------------ a load


def procs_for(calls: int) -> int:
    """The number of caller processes."""
    return max(1, min(os.cpu_count() or 1, -(-calls // CALLS_PER_PROC)))


def run_once(plan: LoadPlan, view: LoadView, *, plot: str | None, as_json: bool) -> int:
    """Run one load. Returns the exit status."""

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
    """Find the maximum number of calls that the server handles. Returns the exit status."""

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
    """Let the first Ctrl-C end the load with the results so far, and the second end the program."""
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
