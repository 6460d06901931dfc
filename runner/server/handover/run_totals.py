"""The calls of all workers of a run, in figures: who serves now asks those that finish older calls.

    this worker's own  +  the other workers', over their sockets  +  those that ended, from the supervisor

Thus no counter goes down when a bot is edited, and a call that stays with old code is told of to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.pipeline.latency import SlowWatch
from runner.server.handover.other_workers import OtherWorkers
from runner.sessions.stats import Tally, added, quantile

if TYPE_CHECKING:
    from runner.sessions.registry import Sessions
    from runner.sessions.session import Session

Told = Mapping[str, Any]


class RunTotals:
    """What the workers of this run have counted. Without a supervisor there is one."""

    def __init__(self, sessions: Sessions, other_workers: Callable[[], OtherWorkers | None]) -> None:
        self._sessions = sessions
        self._other_workers = other_workers
        self._past = Tally()
        self._last: dict[str, Tally] = {}

    def own(self) -> dict[str, Any]:
        """What this worker tells its other_workers and the supervisor."""
        return {"tally": self._own().packed(), "sessions": self._calls()}

    def take_past(self, tally: Told, workers: Sequence[str]) -> None:
        """The sum of these workers, who had ended before this one began."""
        self._past = Tally.read(tally)
        for worker in workers:
            self._last.pop(worker, None)

    def take_last(self, worker: str, tally: Told) -> None:
        """The last word of a worker that ends."""
        self._last[worker] = Tally.read(tally)

    async def ask(self) -> tuple[Tally, list[dict[str, Any]]]:
        """All workers' figures, and the calls under way."""
        other_workers = self._other_workers()
        told = await other_workers.figures() if other_workers is not None else {}
        for worker, word in told.items():
            self._last[worker] = Tally.read(word["tally"])
        for worker in self._last.keys() - told.keys():  # it has ended, and its calls with it
            self._last[worker].active.clear()
        older = [self._last[worker] for worker in sorted(self._last, key=int)]
        calls = [call for word in told.values() for call in word["sessions"]]
        return added([self._past, *older, self._own()]), [*calls, *self._calls()]

    def _own(self) -> Tally:
        return self._sessions.totals(SlowWatch.shared(asyncio.get_running_loop()).lag)

    def _calls(self) -> list[dict[str, Any]]:
        return [_told(session) for session in self._sessions.active.values()]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Turn latencies in words of figures: how many, p50 and p95 (ms)."""
    if not seconds:
        return {"n": 0}
    return {
        "n": len(seconds),
        "p50_ms": round(quantile(seconds, 0.5) * 1000),
        "p95_ms": round(quantile(seconds, 0.95) * 1000),
    }


def _told(session: Session) -> dict[str, Any]:
    """The id is cut short: whoever knows it whole could take the call over."""
    sound = session.sound.latest() if session.sound is not None else {}
    figures = session.figures
    return {
        "id": session.id[:6],
        "kind": session.kind,
        "secs": round(session.duration_s, 1),
        "sound": sound,
        "turns": latencies(figures.turn_s),
        "last_turn_ms": {part: round(seconds * 1000) for part, seconds in figures.last_turn.items()},
    }
