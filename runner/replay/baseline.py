"""Baselines: the figures of a scenario's calls, kept in the repository, and later calls held against them.

Only like runs are compared: the same scenario, transport, impairment of the line and its seed, and the same
kind of machine is the user's to see to. A figure that is missing now is the worst regression.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from runner.callers.call import CallResult
from runner.callers.call_report import quantile
from runner.callers.scenario.steps import Scenario
from runner.errors import UsageError

SCHEMA = 1
LEAST_RUNS = 3
P95_FROM = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A figure may grow by so much, in its own unit and as a share, before that is a regression."""

    absolute: float
    share: float = 0.0
    unit: str = ""

    def allows(self, before: float, after: float) -> bool:
        """Whether this growth is noise."""
        return after - before <= max(self.absolute, self.share * before)


FLOORS: Mapping[str, Floor] = {
    "greeting_p50_ms": Floor(absolute=200, share=0.25, unit="ms"),
    "turn_p50_ms": Floor(absolute=80, share=0.15, unit="ms"),
    "turn_p95_ms": Floor(absolute=150, share=0.2, unit="ms"),
    "stop_p50_ms": Floor(absolute=80, share=0.2, unit="ms"),
    "failed_share": Floor(absolute=0.0),
    "underruns": Floor(absolute=1),
    "lost_ms": Floor(absolute=50, unit="ms"),
    "violations": Floor(absolute=0),
    "not_stopped": Floor(absolute=0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What makes runs comparable."""

    scenario: str
    scenario_sha256: str
    transport: str
    line: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Conditions, number of calls, and the figures; None: nothing to measure."""

    conditions: Conditions
    runs: int
    figures: Mapping[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A figure that got worse, or better."""

    figure: str
    before: float | None
    after: float | None
    worse: bool

    @property
    def sentence(self) -> str:
        """For people."""
        unit = FLOORS[self.figure].unit
        before, after = (
            "nothing" if each is None else f"{each:g} {unit}".strip() for each in (self.before, self.after)
        )
        return f"{self.figure}: {before} → {after}"


def conditions_of(scenario: Scenario, transport: str) -> Conditions:
    """The conditions of calls with this scenario."""
    text = scenario.path.read_bytes() if scenario.path is not None else repr(scenario.steps).encode()
    line = asdict(scenario.line) if scenario.line is not None else {}
    return Conditions(
        scenario=scenario.name,
        scenario_sha256=hashlib.sha256(text).hexdigest(),
        transport=transport,
        line=line,
    )


def measure_calls(conditions: Conditions, results: Sequence[CallResult]) -> Baseline:
    """The baseline that these calls make."""
    reports = [result.report for result in results]
    turns = sorted(ms for report in reports for ms in report.turn_latencies_ms)
    stops = sorted(ms for report in reports for ms in report.stop_latencies_ms)
    greetings = [report.greeting_ms for report in reports if report.greeting_ms is not None]
    figures: dict[str, float | None] = {
        "greeting_p50_ms": _rounded(median(greetings)) if greetings else None,
        "turn_p50_ms": _rounded(quantile(turns, 0.5)) if turns else None,
        "turn_p95_ms": _rounded(quantile(turns, 0.95)) if len(turns) >= P95_FROM else None,
        "stop_p50_ms": _rounded(quantile(stops, 0.5)) if stops else None,
        "failed_share": _rounded(sum(not result.met for result in results) / len(results)),
        "underruns": _rounded(median(report.underruns for report in reports)),
        "lost_ms": _rounded(median(report.lost_ms for report in reports)),
        "violations": float(max(len(report.violations) for report in reports)),
        "not_stopped": float(max(report.not_stopped for report in reports)),
    }
    return Baseline(conditions=conditions, runs=len(results), figures=figures)


def _rounded(value: float) -> float:
    return round(value, 2)


def unlike(before: Baseline, after: Baseline) -> Iterator[str]:
    """Why the two cannot be compared."""
    old, new = before.conditions, after.conditions
    if (old.scenario, old.scenario_sha256) != (new.scenario, new.scenario_sha256):
        yield f"the scenario {new.scenario} has changed since"
    if old.transport != new.transport:
        yield f"the baseline is over {old.transport}, these calls are over {new.transport}"
    if dict(old.line) != dict(new.line):
        yield "the line's impairment or its seed is another"
    for each, name in ((before, "the baseline has"), (after, "there are")):
        if each.runs < LEAST_RUNS:
            yield f"{name} only {each.runs} runs, and {LEAST_RUNS} are needed"


def regressions(before: Baseline, after: Baseline) -> list[Regression]:
    """The figures that are worse, the worst first, and those that are better. A figure that is missing now
    comes before all others; one that the baseline does not have is no regression."""
    found = []
    for name, floor in FLOORS.items():
        old, new = before.figures.get(name), after.figures.get(name)
        if old is None:
            continue
        if new is None:
            if name != "turn_p95_ms" or after.runs >= before.runs:
                found.append(Regression(figure=name, before=old, after=None, worse=True))
        elif not floor.allows(old, new):
            found.append(Regression(figure=name, before=old, after=new, worse=True))
        elif not floor.allows(new, old):
            found.append(Regression(figure=name, before=old, after=new, worse=False))
    return sorted(found, key=lambda each: (not each.worse, each.after is not None, -_growth(each)))


def _growth(regression: Regression) -> float:
    if regression.before is None or regression.after is None:
        return float("inf")
    return regression.after / regression.before if regression.before else float("inf")


def save(baseline: Baseline, path: Path) -> None:
    """Write a baseline.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(baseline.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def load(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["schema"] > SCHEMA:
            raise UsageError(
                f"{path} has the format {fields['schema']}, and this botrun reads {SCHEMA}: update it"
            )
        return Baseline(
            conditions=Conditions(**fields["conditions"]), runs=int(fields["runs"]), figures=fields["figures"]
        )
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}: botrun baseline update writes it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a baseline: {error}") from None
