"""How many calls one server carries: doubled until it breaks, then halved between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from runner.callers.load.plan import LoadPlan
from runner.callers.load.report import CRITERION, LoadReport

MOST_CALLS = 4096
CLOSE_ENOUGH = 0.05
"""The search ends when the two ends are so near one another (share of the lower)."""

STARTS_PER_S = 40
"""No more calls begin in a second, however many there are: an onrush is another question."""


class Search:
    """Which number of calls to try next: pure.

    Attributes:
        held: the most that held so far; 0 if none did.
        broke: the least that broke; None if none did.
    """

    def __init__(self, first: int, most: int = MOST_CALLS) -> None:
        self.held = 0
        self.broke: int | None = None
        self._next: int | None = min(first, most)
        self._most = most

    @property
    def next(self) -> int | None:
        """What to try; None when it is found."""
        return self._next

    def note(self, calls: int, *, held: bool) -> None:
        """What came of a try."""
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
    """What came of the search.

    Attributes:
        calls: the most that held.
        broke: the least that did not; None if that was not found.
        limit: what stopped the search: "server", "callers" (their lateness says nothing of the server),
            "most" (nobody tries more calls) or "stopped".
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
    """Try one number of calls after the other. A load that breaks is tried once more before it counts: a
    machine that is busy with something else breaks one, too."""
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
