"""The figures of a load, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.markup import escape

from runner.callers.load.plan import ECHO
from runner.callers.load.report import CRITERION, MOST_P95_MS

if TYPE_CHECKING:
    from runner.callers.load.report import LoadReport, Spread

GOOD_ECHO_MS, GOOD_TURN_MS, FAIR_TURN_MS, GOOD_STOP_MS, FAIR_STOP_MS = 150, 800, 1500, 300, 600
"""Up to the first a figure is green, up to the second (the echo's: 250 ms) amber."""

Row = tuple[str, str]


def rows(report: LoadReport) -> Iterator[Row]:
    """The figures of a load, in words."""
    yield "calls", _calls(report)
    for sentence, count in report.failures[:3]:
        yield "", f"[red]{count} × {escape(sentence)}[/red]"
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
    told = ", ".join(f"{_coloured(ms, good_ms, fair_ms)} {name}" for name, ms in values if ms is not None)
    return f"{told} (n={found.n})"


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
        yield "server", "its process is not known: --pid tells CPU and memory"
        return
    if server.cpu_ms_per_call_s is not None:
        yield "server CPU", f"{server.cpu_ms_per_call_s:.1f} ms a call-second ({server.cpu_cores:.2f} cores)"
    if server.mb_per_call is not None:
        grown = f"{server.idle_mb:.0f} MB before the calls, {server.peak_mb:.0f} MB at most"
        yield "server memory", f"{server.mb_per_call:.2f} MB a call ({grown}; {server.threads} threads)"


def _word(report: LoadReport) -> Iterator[Row]:
    """The server's own view, where it differs from the callers' by more than where it was measured."""
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
    told = ", ".join(fault for fault in faults if fault)
    yield (
        "server says",
        f"loop {lag} p99; " + (f"[yellow]{told}[/yellow]" if told else "nothing dropped or late"),
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
            "[red]the callers were too late themselves: these figures say nothing of the server.[/red]"
            " Try fewer calls, more --procs, or a quieter machine.",
        )
    elif report.breaches:
        yield "verdict", f"[red]does not hold[/red]: {escape('; '.join(report.breaches))}"
    elif report.scenario == ECHO:
        yield "verdict", f"[green]holds[/green] [dim]({CRITERION})[/dim]"
