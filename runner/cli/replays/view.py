"""The terminal view of a replay: its progress, and the differences between the two calls, side by side."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner.cli.calls.view import plain
from runner.replay.comparison.findings import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.replay.comparison.facts import Facts, Line
    from runner.replay.comparison.verdict import Comparison
    from runner.replay.run import ReplayRequest

COLOURS = {"same": "green", "better": "green", "worse": "bold red", "inconclusive": "yellow"}
WORDY = frozenset({"words", "understood"})


class ReplayView:
    """Prints replays; nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=quiet)

    def begins(self, request: ReplayRequest) -> None:
        """Print the header of a replay."""
        where = "in virtual time" if request.is_virtual else "in real time"
        how = f"{request.target}, {request.mode}, services {request.services}, {where}"
        self._console.print(f"[dim]replaying {request.record.id} with {escape(how)}[/dim]")

    def say(self, text: str) -> None:
        """Print a sentence about the replay."""
        self._console.print(f"[dim]{plain(text)}[/dim]")

    def progress(self, number: int, count: int, call_id: str) -> None:
        """Print which of many calls is next."""
        self._console.print(f"[bold]{number}/{count}[/bold] {call_id}")

    def show(self, comparison: Comparison, *, short: bool = False) -> None:
        """Print how the calls differ; one line if they do not."""
        if comparison.verdict == "same":
            self._console.print(f"[green]no difference[/green] {self._figures(comparison)}")
            return
        for doubt in comparison.doubts:
            self._console.print(f"[yellow]inconclusive[/yellow] {plain(doubt)}")
        for finding, count in zip(comparison.findings, comparison.runs_with, strict=True):
            runs = (
                f" [dim](in {count} of {len(comparison.after)} runs)[/dim]"
                if len(comparison.after) > 1
                else ""
            )
            mark = "[green]better[/green]" if finding.better else "[bold red]differs[/bold red]"
            self._console.print(f"{mark} [bold]{finding.kind}[/bold] {plain(finding.sentence)}{runs}")
        if not short and any(finding.kind in WORDY for finding in comparison.findings):
            self._side_by_side(comparison.before, comparison.after[0])
        colour = COLOURS[comparison.verdict]
        self._console.print(f"[{colour}]{comparison.verdict}[/{colour}] {self._figures(comparison)}")
        if not short and comparison.after:
            ids = f"{comparison.before.id},{comparison.after[0].id}"
            self._console.print(f"[dim]in the inspector of a running bot: /calls?compare={ids}[/dim]")

    def sum_up(self, found: Sequence[Comparison], refused: int) -> None:
        """Print the result of many replays."""
        counts = {name: sum(each.verdict == name for each in found) for name in COLOURS}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        parts += [f"{refused} refused"] if refused else []
        self._console.print(f"[bold]{len(found) + refused} calls[/bold]: {', '.join(parts)}")

    def _figures(self, comparison: Comparison) -> str:
        figures = comparison.as_dict()["turn_latency"]
        texts = []
        for name, each in (("then", figures["call"]), ("now", figures["replays"])):
            if each["n"]:
                p95 = f", {each['p95_s']:.2f} s p95" if each["p95_s"] is not None else ""
                texts.append(f"{name} {each['p50_s']:.2f} s p50{p95} (n={each['n']})")
        return f"[dim]answers: {'; '.join(texts)}[/dim]" if texts else ""

    def _side_by_side(self, before: Facts, after: Facts) -> None:
        table = Table(box=box.SIMPLE, show_edge=False)
        table.add_column("", no_wrap=True, style="dim")
        table.add_column("then", overflow="fold")
        table.add_column("now", overflow="fold")
        for old, new in aligned(before.lines, after.lines):
            line = old or new
            assert line is not None
            differs = old is None or new is None or old.text != new.text
            table.add_row(line.who, _shown(old, differs), _shown(new, differs))
        self._console.print(table)


def _shown(line: Line | None, differs: bool) -> str:
    if line is None:
        return "[dim]–[/dim]"
    text = plain(line.text) + (" [dim]– interrupted[/dim]" if line.interrupted else "")
    return f"[bold]{text}[/bold]" if differs else text
