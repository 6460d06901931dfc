"""Latency over calls, drawn: a load over its time, or a search over its numbers of calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

from runner.callers.load.drawing import Dot, Drawing, Line, Point, Words
from runner.callers.load.plan import ECHO, SETTLE_S
from runner.callers.load.report import MOST_P95_MS, LoadReport
from runner.callers.load.search import Carried
from runner.errors import UsageError

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 70, 56, 56
BLUE, RED, AMBER, GREEN, GREY, PALE = "#1f6fb4", "#c23b3b", "#d08a1d", "#3a8f4d", "#777777", "#e4e4e4"
TICKS = 5
LEAST_MS = 10.0


def check_file(path: Path) -> None:
    """Raises `UsageError` if nothing can be drawn there; before the load, not after it."""
    if path.suffix not in (".svg", ".png"):
        raise UsageError(f"--plot: {path} is neither .svg nor .png")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"--plot: there is no folder {path.resolve().parent}")
    if path.suffix == ".png":
        from importlib.util import find_spec

        if find_spec("PIL") is None:
            raise UsageError("--plot: a .png needs Pillow (pip install 'botrun[plot]'); .svg needs nothing")


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from 0 to `most` on pixels from `begin` to `end`."""

    most: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        return self.begin + (self.end - self.begin) * min(1.0, value / self.most)

    def ticks(self) -> list[float]:
        step = nice(self.most / TICKS)
        return [index * step for index in range(floor(self.most / step + 1e-9) + 1)]


def nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - 1e-9))


def horizontal(most: float) -> Axis:
    return Axis(max(most, 1e-9), LEFT, WIDTH - RIGHT)


def vertical(most: float) -> Axis:
    step = nice(max(most, 1e-9) / TICKS)
    return Axis(step * max(1, ceil(most / step - 1e-9)), HEIGHT - BOTTOM, TOP)


def sheet(title: str, below: str, x: Axis, y: Axis, unit: str) -> Drawing:
    """Title, grid, and what the axes mean."""
    drawing = Drawing(WIDTH, HEIGHT)
    drawing.add(Words((LEFT, 24), title, bold=True))
    for value in y.ticks():
        drawing.add(Line([(LEFT, y.at(value)), (WIDTH - RIGHT, y.at(value))], PALE, 1))
        drawing.add(Words((LEFT - 8, y.at(value) + 4), f"{value:g}", "end", GREY))
    for value in x.ticks():
        drawing.add(Line([(x.at(value), HEIGHT - BOTTOM), (x.at(value), HEIGHT - BOTTOM + 5)], GREY, 1))
        drawing.add(Words((x.at(value), HEIGHT - BOTTOM + 20), f"{value:g}", "middle", GREY))
    drawing.add(Words((LEFT - 8, TOP - 10), unit, "end", GREY))
    drawing.add(Words(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14), below, "middle", GREY))
    return drawing


def right_axis(drawing: Drawing, axis: Axis, unit: str, colour: str) -> None:
    """A second scale, on the right."""
    for value in axis.ticks():
        drawing.add(Words((WIDTH - RIGHT + 8, axis.at(value) + 4), f"{value:g}", "start", colour))
    drawing.add(Words((WIDTH - RIGHT + 8, TOP - 10), unit, "start", colour))


def key(drawing: Drawing, entries: Iterable[tuple[str, str]]) -> None:
    """What each colour stands for, in a row under the title."""
    at = float(LEFT)
    for name, colour in entries:
        drawing.add(Line([(at, TOP - 14), (at + 14, TOP - 14)], colour, 3), Words((at + 19, TOP - 10), name))
        at += 34 + 7.2 * len(name)


# ------------------------------------------------------------------ a load


def over_time(report: LoadReport) -> Drawing:
    """Each echo (or answer) of one load, where it began, over the calls that stood then."""
    end = max(
        [at for at, _ in report.points]
        + [report.ramp_s + min(SETTLE_S, report.duration_s / 2) + report.duration_s]
    )
    x, y = horizontal(end), vertical(max([LEAST_MS] + [ms for _, ms in report.points]))
    what = "echo" if report.scenario == ECHO else "answer"
    title = f"{report.whom}, {report.calls} calls over {report.transport}: latency of each {what}"
    drawing = sheet(title, "seconds since the first call", x, y, "ms")
    calls = vertical(report.calls)
    right_axis(drawing, calls, "calls", GREEN)
    ramp = [
        (x.at(0), calls.at(0)),
        (x.at(report.ramp_s), calls.at(report.calls)),
        (x.at(end), calls.at(report.calls)),
    ]
    drawing.add(Line(ramp, GREEN, 1.5))
    drawing.add(*(Dot((x.at(at), y.at(ms)), BLUE, 2.0, 0.45) for at, ms in report.points))
    entries = [(f"one {what}", BLUE), ("calls", GREEN)]
    for name, ms, colour in (("p50", report.latency_ms.p50, AMBER), ("p95", report.latency_ms.p95, RED)):
        if ms is not None:
            drawing.add(Line([(LEFT, y.at(ms)), (WIDTH - RIGHT, y.at(ms))], colour, 1.5, dashed=True))
            entries.append((f"{name} {ms:.0f} ms", colour))
    key(drawing, entries)
    return drawing


# ------------------------------------------------------------------ a search


def over_calls(carried: Carried) -> Drawing:
    """p50 and p95 of each number of calls that was tried, and what they took of the processor."""
    steps = sorted(carried.steps, key=lambda step: step.calls)
    most_ms = max([LEAST_MS] + [step.latency_ms.p95 or 0.0 for step in steps])
    # What is broken is off the sheet: how badly says nothing.
    x, y = horizontal(max(step.calls for step in steps)), vertical(min(most_ms, 2 * MOST_P95_MS))
    first = steps[0]
    title = f"{first.whom} over {first.transport}: latency over calls, {carried.calls} held"
    drawing = sheet(title, "calls at once", x, y, "ms")
    entries = [("p50", BLUE), ("p95", RED)]
    if y.most >= MOST_P95_MS:
        limit = y.at(MOST_P95_MS)
        drawing.add(Line([(LEFT, limit), (WIDTH - RIGHT, limit)], GREY, 1, dashed=True))
        drawing.add(Words((LEFT + 6, limit - 5), f"p95 may be {MOST_P95_MS:g} ms", colour=GREY))
    cores = [(step.calls, step.server.cpu_cores) for step in steps if step.server is not None]
    if cores:
        axis = vertical(max(1.0, *(used for _, used in cores)))
        right_axis(drawing, axis, "cores", GREEN)
        _curve(drawing, [(x.at(n), axis.at(used)) for n, used in cores], GREEN)
        entries.append(("the server's cores", GREEN))
    for part, colour in (("p50", BLUE), ("p95", RED)):
        found = [(step.calls, getattr(step.latency_ms, part)) for step in steps]
        _curve(drawing, [(x.at(n), y.at(ms)) for n, ms in found if ms is not None], colour)
    key(drawing, entries)
    return drawing


def _curve(drawing: Drawing, points: Sequence[Point], colour: str) -> None:
    """All points; the line goes through the lowest where there are several, as the verdict does."""
    best = {place: max(at for x, at in points if x == place) for place, _ in points}
    drawing.add(Line(sorted(best.items()), colour, 1.5), *(Dot(point, colour) for point in points))
