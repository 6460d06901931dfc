"""Charts of a load as one self-contained HTML file, drawn by uPlot (vendored in uplot/, MIT)."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import groupby
from pathlib import Path

from runner.callers.load import ECHO
from runner.callers.load.report import MOST_P95_MS, Carried, LoadReport
from runner.errors import UsageError

BLUE, RED, AMBER, GREEN, GREY = "#1f6fb4", "#c23b3b", "#d08a1d", "#3a8f4d", "#777777"


def check_file(path: Path) -> None:
    """Check, before the load, that a chart can be written there. Raises `UsageError`."""
    if path.suffix not in (".html", ".htm"):
        raise UsageError(f"--plot: {path} is not an .html file; charts are HTML pages")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"--plot: folder {path.resolve().parent} does not exist; create it first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one set of dots. `values` correspond to the chart's `x`; None leaves a gap.

    Attributes:
        right: whether the values are read on the right axis.
    """

    name: str
    values: Sequence[float | None]
    colour: str = BLUE
    dots: bool = False
    dashed: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart; `x` is in ascending order."""

    title: str
    x: Sequence[float]
    series: Sequence[Series]
    x_label: str
    y_label: str
    right_label: str = ""

    def html(self) -> str:
        """The page, with the library and the data inside."""
        data = {
            "x": self.x,
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "rightLabel": self.right_label,
            "series": [asdict(series) for series in self.series],
        }
        parts = {
            "__TITLE__": html.escape(self.title),
            "__UPLOT_CSS__": _packaged("uplot/uPlot.min.css"),
            "__UPLOT_JS__": _packaged("uplot/uPlot.iife.min.js"),
            # "</script>" in a label would end the element.
            "__DATA__": json.dumps(data).replace("<", "\\u003c"),
        }
        page = _packaged("chart.html")
        for name, text in parts.items():
            page = page.replace(name, text)
        return page

    def save(self, path: Path) -> None:
        """Write the page. Raises `UsageError` if the file cannot be written."""
        try:
            path.write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--plot: cannot write {path}: {error.strerror or error}") from None


def _packaged(name: str) -> str:
    return resources.files("runner.callers.load").joinpath(name).read_text(encoding="utf-8")


def over_time(report: LoadReport) -> Chart:
    """Latency of each echo (or answer) over its start time, and the number of calls at that time."""
    what = "echo" if report.scenario == ECHO else "answer"
    points = sorted(report.points)
    x = [at for at, _ in points]
    calls = [report.calls * min(1.0, at / report.ramp_s) if report.ramp_s else report.calls for at in x]
    series = [
        Series(name=f"one {what} (ms)", values=[ms for _, ms in points], dots=True),
        Series(name="calls", values=calls, colour=GREEN, right=True),
    ]
    for name, ms, colour in (("p50", report.latency_ms.p50, AMBER), ("p95", report.latency_ms.p95, RED)):
        if ms is not None:
            series.append(Series(name=f"{name} (ms)", values=[ms] * len(x), colour=colour, dashed=True))
    return Chart(
        title=f"{report.whom}, {report.calls} calls over {report.transport}: latency of each {what}",
        x=x,
        series=series,
        x_label="seconds since the first call",
        y_label="ms",
        right_label="calls",
    )


def over_calls(carried: Carried) -> Chart:
    """p50, p95 and CPU for each number of calls tried; of repeated tries, the better one."""
    ordered = sorted(carried.steps, key=lambda step: (step.calls, step.latency_ms.p95 or float("inf")))
    steps = [next(tries) for _, tries in groupby(ordered, key=lambda step: step.calls)]
    series = [
        Series(name="p50 (ms)", values=[step.latency_ms.p50 for step in steps]),
        Series(name="p95 (ms)", values=[step.latency_ms.p95 for step in steps], colour=RED),
        Series(name="p95 limit (ms)", values=[MOST_P95_MS] * len(steps), colour=GREY, dashed=True),
    ]
    cores = [None if step.server is None else step.server.cpu_cores for step in steps]
    if any(used is not None for used in cores):
        series.append(Series(name="server CPU (cores)", values=cores, colour=GREEN, right=True))
    return Chart(
        title=f"{steps[0].whom} over {steps[0].transport}: latency over calls, {carried.calls} held",
        x=[step.calls for step in steps],
        series=series,
        x_label="concurrent calls",
        y_label="ms",
        right_label="cores" if len(series) == 4 else "",
    )
