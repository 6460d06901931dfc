"""What the terminal shows of a load: how far it is, then the figures."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from runner.callers.load.report import CRITERION
from runner.cli.load.table import Row, rows

if TYPE_CHECKING:
    from runner.callers.load import load_processes as gang
    from runner.callers.load.breaking import Carried
    from runner.callers.load.plan import LoadPlan
    from runner.callers.load.report import LoadReport

PHASES = {
    "bot": "reaching the bot",
    "callers": "the callers get ready",
    "ramp": "the calls begin",
    "measuring": "measuring",
    "reckoning": "looking for the echoes",
}
PLAIN_EVERY_S = 10.0


class LoadView:
    """Shows a load; plain lines where there is no terminal, nothing if `quiet`."""

    def __init__(self, plan: LoadPlan, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._searching = False
        self._told: tuple[str, float] = ("", 0.0)
        if not quiet:
            whom = escape(plan.file or plan.url or "")
            self._console.print(
                f"[dim]load on[/dim] {whom} [dim]over {plan.transport}, {plan.scenario}[/dim]"
            )

    # ------------------------------------------------------------ while it runs

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """A bar while the block runs."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description:<22}"), BarColumn(24), TextColumn("{task.fields[told]}"))
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._task = self._bar.add_task("", total=1.0, told="")
            yield
        self._bar = self._task = None

    def progress(self, now: gang.Progress) -> None:
        """How far it is."""
        told = _told(now)
        if self._bar is not None and self._task is not None:
            # A phase whose length nobody knows pulses.
            total = 1.0 if now.phase in ("ramp", "measuring") else None
            self._bar.update(
                self._task, description=PHASES[now.phase], completed=now.part, total=total, told=told
            )
        elif not self._quiet and not self._searching:
            phase, at = self._told
            if phase != now.phase or time.monotonic() - at >= PLAIN_EVERY_S:
                self._told = now.phase, time.monotonic()
                self._console.print(f"{PHASES[now.phase]}{f': {told}' if told else ''}")

    def searches(self) -> None:
        """Many loads follow: a line at the end of each tells enough."""
        self._searching = True

    def tried(self, report: LoadReport) -> None:
        """A step of the search is over: a line of it."""
        if self._quiet:
            return
        mark = "[green]holds [/green]" if report.holds else "[red]breaks[/red]"
        p95 = "-" if report.latency_ms.p95 is None else f"{report.latency_ms.p95:.0f}"
        cores = "" if report.server is None else f", server {report.server.cpu_cores:.2f} cores"
        why = f"  [dim]{escape('; '.join(report.breaches))}[/dim]" if report.breaches else ""
        self._console.print(f"{report.calls:>5} calls  {mark} p95 {p95:>4} ms{cores}{why}")

    # ------------------------------------------------------------ when it is over

    def print_json(self, found: dict[str, Any]) -> None:
        """The figures for programs."""
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

    def show(self, report: LoadReport, plot: str | None) -> None:
        """The table of one load."""
        self._table(list(rows(report)))
        self._saved(plot)

    def show_carried(self, carried: Carried, plot: str | None) -> None:
        """What the search has found, with the table of the last load that held."""
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
            self._console.print(f"[dim]drawn[/dim] {escape(plot)}")


def _told(now: gang.Progress) -> str:
    if now.phase not in ("ramp", "measuring"):
        return ""
    parts = [f"{now.up} calls", f"{now.failed} failed" if now.failed else ""]
    parts.append("" if now.server_cores is None else f"server {now.server_cores:.2f} cores")
    parts.append(f"{now.left_s:.0f} s left")
    return ", ".join(part for part in parts if part)


def _carried(carried: Carried) -> str:
    match carried.limit:
        case "server":
            return f"one server carries {carried.calls} calls; {carried.broke} are too many"
        case "callers":
            tried = carried.steps[-1].calls
            return (
                f"{carried.calls} calls held; at {tried} the callers were too late to tell (try more --procs)"
            )
        case "stopped":
            return f"stopped: {carried.calls} calls held so far"
        case _:
            return f"{carried.calls} calls held, and no more are tried"
