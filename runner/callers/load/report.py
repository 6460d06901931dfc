"""The report of a load, and the search for the maximum number of calls that a server handles. Pure.

Field names carry the unit; None if there was nothing to measure.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from runner.callers.call_report import STOPPED_WITHIN_S, TRUSTED_P99_MS, quantile
from runner.callers.load import ECHO, LATE_STEP_MS, LoadPlan
from runner.callers.load.server import ServerUse, ServerWord

MOST_P95_MS = 250.0
LEAST_RETURNED = 0.99
MOST_LOST = 0.01
"""Limits that a load must keep: the echo's p95, the share of audio returned, the share of chirps lost."""

CRITERION = f"p95 ≤ {MOST_P95_MS:g} ms, ≥ {LEAST_RETURNED:.0%} of the sound returned, no call failed"


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of measured times (ms)."""

    n: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, values_ms: Iterable[float]) -> Spread:
        found = sorted(values_ms)
        if not found:
            return cls()
        middle, high, higher = (round(quantile(found, share), 2) for share in (0.5, 0.95, 0.99))
        return cls(len(found), middle, high, higher, round(found[-1], 2))

    @classmethod
    def of_counts(cls, counts: Iterable[Sequence[int]], step: float) -> Spread:
        """From [number of steps, count] pairs."""
        found: Counter[int] = Counter()
        for value, count in counts:
            found[value] += count
        total = sum(found.values())
        if not total:
            return cls()
        ordered = sorted(found.items())
        shares = [_at_share(ordered, total, share) * step for share in (0.5, 0.95, 0.99)]
        return cls(total, *(round(value, 2) for value in (*shares, ordered[-1][0] * step)))


def _at_share(ordered: Sequence[tuple[int, int]], total: int, share: float) -> int:
    """As `quantile`: the smallest value that at least this share of the values does not exceed."""
    seen = 0
    for value, count in ordered:
        seen += count
        if seen >= share * total - 1e-9:
            return value
    return ordered[-1][0]


@dataclass(frozen=True, kw_only=True)
class Callers:
    """The callers' own figures.

    Attributes:
        late_ms: how late their messages left.
        cpu_cores: their CPU use.
        procs: number of processes.
    """

    late_ms: Spread
    cpu_cores: float
    procs: int

    @property
    def saturated(self) -> bool:
        """Whether they were too late for the server's figures to be valid."""
        return self.late_ms.p99 is not None and self.late_ms.p99 > TRUSTED_P99_MS


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """The figures of one load.

    Attributes:
        whom: the bot's file or the server's address.
        calls: number of calls requested.
        up: number of calls connected at the end of the measurement.
        failures: sentences, each with its count.
        echo_ms, turn_ms, stop_ms: latencies, as in `botrun call` and `/metrics`.
        echoes_lost: chirps that did not come back.
        returned, returned_least: share of the audio that came back: over all calls, and of the worst call.
        not_stopped: interruptions for which the bot did not stop.
        underruns: holes that a listener would have heard.
        server: CPU and memory of the server's process; None if the process is unknown.
        other_cores: CPU use of other programs on this machine.
        points: (s since the start, latency in ms) of single echoes or answers, including those before the
            measurement, for the chart.
        stopped: whether the load was stopped early.
        word: the own figures of a botrun that was started for the load.
        records: folders of failed calls that the bot recorded; the others are not kept.
    """

    whom: str
    transport: str
    scenario: str
    calls: int
    up: int
    duration_s: float
    ramp_s: float
    failures: tuple[tuple[str, int], ...]
    connect_ms: Spread
    echo_ms: Spread
    turn_ms: Spread
    stop_ms: Spread
    not_stopped: int
    echoes_lost: int
    returned: float | None
    returned_least: float | None
    underruns: int
    underrun_ms: float
    talks: int
    missed: tuple[tuple[str, int], ...]
    violations: tuple[tuple[str, int], ...]
    callers: Callers
    server: ServerUse | None
    other_cores: float
    points: tuple[tuple[float, float], ...] = field(repr=False)
    stopped: bool = False
    word: ServerWord | None = None
    records: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> Spread:
        """The latency that the scenario measures: of echoes or of answers."""
        return self.echo_ms if self.scenario == ECHO else self.turn_ms

    @property
    def breaches(self) -> tuple[str, ...]:
        """The limits that it exceeds; empty if it holds."""
        return tuple(_breaches(self))

    @property
    def holds(self) -> bool:
        """Whether the server handles this many calls."""
        return not self.breaches

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the single points."""
        found = asdict(self)
        del found["points"]
        found["callers"]["saturated"] = self.callers.saturated
        return {**found, "holds": self.holds, "breaches": list(self.breaches), "criterion": CRITERION}


def _breaches(report: LoadReport) -> Iterable[str]:
    failed = sum(count for _, count in report.failures)
    if failed:
        yield f"{failed} calls failed"
    if report.scenario != ECHO:
        return
    if report.echo_ms.p95 is None:
        yield "nothing came back"
        return
    if report.echo_ms.p95 > MOST_P95_MS:
        yield f"the echo's p95 was {report.echo_ms.p95:.0f} ms"
    if report.returned is not None and report.returned < LEAST_RETURNED:
        yield f"{report.returned:.1%} of the sound came back"
    if report.echoes_lost > MOST_LOST * (report.echo_ms.n + report.echoes_lost):
        yield f"{report.echoes_lost} of {report.echo_ms.n + report.echoes_lost} chirps were lost"


def merge(
    plan: LoadPlan,
    results: Sequence[dict[str, Any]],
    *,
    start_at: float,
    up: int,
    server: ServerUse | None,
    callers_cores: float,
    others: float,
    stopped: bool,
) -> LoadReport:
    """Merge the results of the caller processes into one report."""
    returned = _all(results, "returned")
    stops = _all(results, "stops_ms")
    holes_s = _all(results, "holes_s")
    echoes = _all(results, "early") + _all(results, "echoes")
    latencies = [(at, s * 1000) for at, s in echoes] + _all(results, "turns")
    return LoadReport(
        whom=plan.file or plan.url or "",
        transport=plan.transport,
        scenario=plan.scenario,
        calls=plan.calls,
        up=up,
        duration_s=round(max((r["end"] - r["begin"] for r in results), default=0.0), 2),
        ramp_s=plan.ramp_s,
        failures=_often(results, "failures"),
        connect_ms=Spread.of(s * 1000 for s in _all(results, "connect_s")),
        echo_ms=Spread.of(s * 1000 for _, s in _all(results, "echoes")),
        turn_ms=Spread.of(ms for _, ms in _all(results, "turns")),
        stop_ms=Spread.of(ms for ms in stops if ms <= STOPPED_WITHIN_S * 1000),
        not_stopped=sum(r.get("not_stopped", 0) for r in results),
        echoes_lost=sum(r.get("lost", 0) for r in results),
        returned=round(sum(returned) / len(returned), 4) if returned else None,
        returned_least=round(min(returned), 4) if returned else None,
        underruns=len(holes_s) + sum(r.get("underruns", 0) for r in results),
        underrun_ms=round(1000 * sum(holes_s) + sum(r.get("underrun_ms", 0.0) for r in results), 1),
        talks=sum(r.get("talks", 0) for r in results),
        missed=_often(results, "missed"),
        violations=_often(results, "violations"),
        callers=Callers(
            late_ms=Spread.of_counts(_all(results, "late"), LATE_STEP_MS),
            cpu_cores=callers_cores,
            procs=len(results),
        ),
        server=server,
        other_cores=others,
        points=tuple((round(at - start_at, 3), round(ms, 2)) for at, ms in latencies),
        stopped=stopped,
    )


def _all(results: Iterable[dict[str, Any]], name: str) -> list[Any]:
    return [value for result in results for value in result.get(name, ())]


def _often(results: Iterable[dict[str, Any]], name: str) -> tuple[tuple[str, int], ...]:
    return tuple(Counter(_all(results, name)).most_common())


MOST_CALLS = 4096
CLOSE_ENOUGH = 0.05
"""The search ends when its bounds are this close (share of the lower one)."""

STARTS_PER_S = 40
"""Maximum number of calls started per second, so that the search does not measure a burst of new calls."""


class Search:
    """Chooses the number of calls to try next: pure.

    Attributes:
        held: the largest number that held so far; 0 if none did.
        broke: the smallest number that did not hold; None if all did.
    """

    def __init__(self, first: int, most: int = MOST_CALLS) -> None:
        self.held = 0
        self.broke: int | None = None
        self._next: int | None = min(first, most)
        self._most = most

    @property
    def next(self) -> int | None:
        """The number to try; None when the search is finished."""
        return self._next

    def note(self, calls: int, *, held: bool) -> None:
        """Record the result of a try."""
        if held:
            self.held = max(self.held, calls)
        else:
            self.broke = calls if self.broke is None else min(self.broke, calls)
        self._next = self._choose()

    def _choose(self) -> int | None:
        if self.broke is None:
            return min(2 * self.held, self._most) if self.held < self._most else None
        if self.broke - self.held <= max(1, CLOSE_ENOUGH * self.held):
            return None
        return (self.held + self.broke) // 2


@dataclass(frozen=True, kw_only=True)
class Carried:
    """The result of the search.

    Attributes:
        calls: the largest number that held.
        broke: the smallest number that did not hold; None if it was not found.
        limit: what ended the search: "server", "callers" (they were saturated), "most" (the maximum number
            to try) or "stopped".
        steps: all loads, in order.
    """

    calls: int
    broke: int | None
    limit: str
    steps: list[LoadReport] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "carries": self.calls,
            "breaks_at": self.broke,
            "limit": self.limit,
            "criterion": CRITERION,
            "steps": [step.as_dict() for step in self.steps],
        }


RunLoad = Callable[[LoadPlan], Awaitable[LoadReport]]


async def until_it_breaks(plan: LoadPlan, run: RunLoad, stop: asyncio.Event) -> Carried:
    """Search for the maximum number of calls. A load that does not hold is repeated once before it counts,
    because a machine that is busy with something else can cause that too."""
    search, steps = Search(plan.calls), []
    while (calls := search.next) is not None:
        step = replace(plan, calls=calls, ramp_s=max(plan.ramp_s, calls / STARTS_PER_S))
        for _ in range(2):
            report = await run(step)
            steps.append(report)
            if stop.is_set():
                return Carried(calls=search.held, broke=search.broke, limit="stopped", steps=steps)
            if report.holds:
                break
        if not report.holds and report.callers.saturated:
            return Carried(calls=search.held, broke=search.broke, limit="callers", steps=steps)
        search.note(calls, held=report.holds)
    limit = "most" if search.broke is None else "server"
    return Carried(calls=search.held, broke=search.broke, limit=limit, steps=steps)
