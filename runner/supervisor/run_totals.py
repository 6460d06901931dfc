"""What the workers that have ended counted: the figures of a run outlive them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.sessions.totals import Tally, added

if TYPE_CHECKING:
    from runner.supervisor.processes import Worker


class Past:
    """The figures of a run's workers: the last word of each that lives, and the sum of those that ended."""

    def __init__(self) -> None:
        self._told: dict[str, Mapping[str, Any]] = {}
        self._sum = Tally()
        self._ended: list[str] = []

    def take(self, worker: Worker, tally: Mapping[str, Any]) -> None:
        """A worker has told what it counted."""
        self._told[worker.id] = tally

    def last(self, worker: Worker) -> dict[str, Any] | None:
        """For the other workers: what one counted that ends, or has ended; None if it never told."""
        tally = self._told.get(worker.id)
        return None if tally is None else {"do": "last", "worker": worker.id, "tally": tally}

    def close(self, worker: Worker) -> None:
        """It has ended."""
        tally = self._told.pop(worker.id, None)
        if tally is not None:
            self._ended.append(worker.id)
            ended = Tally.read(tally)
            ended.active.clear()
            self._sum = added([self._sum, ended])

    def whole(self) -> dict[str, Any]:
        """For a worker that begins."""
        return {"do": "past", "tally": self._sum.packed(), "workers": self._ended}
