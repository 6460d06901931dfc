"""The terminal view of a call: the running conversation, then a short report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runner.callers.scenario.performer import HELP
from runner.callers.sound.bot_sound import FRONT_LOADED_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.callers.call import CallResult
    from runner.callers.call_report import Figure, Report
    from runner.callers.scenario.performer import Outcome
    from runner.callers.talk import Said

STYLES = {"bot": "bold cyan", "caller": "bold green", "phone": "dim", "print": "magenta"}
GOOD_ANSWER_MS, FAIR_ANSWER_MS = 800, 1500
GOOD_STOP_MS, FAIR_STOP_MS = 300, 600
"""Limits of green and of amber figures."""

Row = tuple[str, str]


class CallView:
    """Prints a call; plain text without a terminal, nothing if `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())

    def begins(self, provider: str, target: str, *, typed: bool) -> None:
        """Print the header, before the phone rings."""
        if self._quiet:
            return
        self._console.print(f"[dim]ringing[/dim] {escape(target)} [dim]as {provider} would[/dim]")
        if typed:
            self._console.print(f"[dim]{escape(HELP)}[/dim]")

    def show_line(self, said: Said) -> None:
        """Print a line of the conversation."""
        if self._quiet:
            return
        style = STYLES[said.who]
        text = f"[dim]{escape(said.text)}[/dim]" if said.who == "phone" else escape(said.text)
        self._console.print(f"[dim]{said.at:7.2f}[/dim]  [{style}]{said.who:<7}[/{style}] {text}")

    def print_json(self, text: str) -> None:
        """Print the report as JSON."""
        sys.stdout.write(f"{text}\n")

    def ends(self, result: CallResult, *, saved: Path | None) -> None:
        """Print the report."""
        rows = list(_rows(result.report))
        if self._console.is_terminal:
            table = Table(box=box.ROUNDED, border_style="dim", show_header=False)
            table.add_column(style="dim", no_wrap=True)
            table.add_column(overflow="fold")
            for row in rows:
                table.add_row(*row)
            self._console.print(table)
        else:
            for name, value in rows:
                self._console.print(f"{name:<16}{value}")
        for outcome in result.outcomes:
            self._console.print(_verdict(outcome))
        if result.record is not None:
            self._console.print(
                f"[dim]recorded[/dim] {escape(_near(result.record))}: botrun show {result.record.name}"
            )
        if saved is not None:
            self._console.print(
                f"[dim]saved[/dim] {escape(str(saved))}/call.wav, messages.jsonl, report.json"
            )


def _near(path: Path) -> str:
    """The path relative to the working directory, if it is inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _verdict(outcome: Outcome) -> str:
    mark = "[green]✓[/green]" if outcome.met else "[bold red]✗[/bold red]"
    return f"{mark} [dim]{escape(outcome.place)}[/dim]  {escape(outcome.sentence)}"


def _rows(report: Report) -> Iterator[Row]:
    who = {"bot": "the bot hung up", "caller": "the caller hung up"}.get(report.ended_by, "the call broke")
    after = "" if report.hang_up_ms is None else f", {report.hang_up_ms:.0f} ms after its last sound"
    yield "call", f"{report.duration_s:.1f} s, {who}{after}"
    yield "greeting", "none" if report.greeting_ms is None else f"after {report.greeting_ms:.0f} ms"
    yield "turn latency", _figure(report.turn_latency, GOOD_ANSWER_MS, FAIR_ANSWER_MS)
    stops = _figure(report.stop_latency, GOOD_STOP_MS, FAIR_STOP_MS)
    ignored = f", [red]{report.not_stopped} ignored[/red]" if report.not_stopped else ""
    yield "stop latency", stops + ignored
    if report.talked_on[1]:
        yield "murmurs", f"the bot talked on through {report.talked_on[0]} of {report.talked_on[1]}"
    if report.talked_over:
        times = "once" if report.talked_over == 1 else f"{report.talked_over} times"
        yield "talked over", f"[red]the bot began to speak over the caller {times}[/red]"
    yield "both at once", f"{report.overlap_s:.1f} s"
    yield (
        "dead air",
        f"{report.dead_air_s:.1f} s in silences over 2 s, the longest {report.longest_silence_s:.1f} s",
    )
    yield "sound", _sound(report)
    if report.caller_messages_lost:
        yield (
            "line",
            f"{_count(report.caller_messages_lost, 'message')} with the caller's sound did not arrive",
        )
    if report.keys:
        yield "bot pressed", report.keys
    yield from _violations(report)
    if not report.trusted:
        _, p99, most = report.phone_late_ms
        yield (
            "caution",
            f"[red]this phone itself ran late[/red] (p99 {p99:.0f} ms, at most {most:.0f} ms):"
            " do not trust the figures",
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _figure(figure: Figure, good_ms: float, fair_ms: float) -> str:
    if figure.p50_ms is None or figure.p95_ms is None:
        return "nothing to measure"
    values = f"{_coloured(figure.p50_ms, good_ms, fair_ms)} p50"
    if figure.n > 1:
        values += f", {_coloured(figure.p95_ms, good_ms, fair_ms)} p95"
    return f"{values} (n={figure.n})"


def _coloured(value_ms: float, good_ms: float, fair_ms: float) -> str:
    colour = "green" if value_ms <= good_ms else "yellow" if value_ms <= fair_ms else "red"
    return f"[{colour}]{value_ms:.0f} ms[/{colour}]"


def _sound(report: Report) -> str:
    faults = [
        f"{_count(report.underruns, 'underrun')} ({report.underrun_ms:.0f} ms)" if report.underruns else "",
        f"{report.lost_ms:.0f} ms lost at the end" if report.lost_ms else "",
        f"{report.repeated_ms:.0f} ms repeated" if report.repeated_ms else "",
        f"{_count(report.holes, 'hole')} ({report.hole_ms:.0f} ms)" if report.holes else "",
        f"{_count(report.messages_twice, 'message')} sent twice" if report.messages_twice else "",
        f"front-loaded by {report.ahead_ms:.0f} ms" if report.ahead_ms > FRONT_LOADED_S * 1000 else "",
    ]
    found = ", ".join(fault for fault in faults if fault)
    if found:
        return f"[red]{found}[/red]"
    if not report.bot_speech_s:
        return "[yellow]none[/yellow]: the bot sent no audible sound"
    return "[green]whole[/green]: no underruns, nothing lost or repeated"


def _violations(report: Report) -> Iterator[Row]:
    if not report.violations:
        yield "protocol", "[green]kept[/green]"
    for sentence in report.violations:
        yield "protocol", f"[red]{escape(sentence)}[/red]"
