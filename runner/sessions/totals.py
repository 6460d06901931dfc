"""The figures of a run's calls at one moment, of one process or added up over several; as JSON between them.

A run whose bot is edited has several workers, one after the other. Each tells its `Tally`; the sum of all,
those that have ended included, is what `/metrics` and `/status` show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.sessions.stats import LAG_BOUNDS_S, LATENCY_BOUNDS_S, RECENT_TURNS, Histogram

if TYPE_CHECKING:
    from runner.sessions.registry import Sessions

HISTOGRAMS = {"turn": LATENCY_BOUNDS_S, "stop": LATENCY_BOUNDS_S, "lag": LAG_BOUNDS_S}


@dataclass(kw_only=True)
class Tally:
    """What is counted of calls.

    Attributes:
        started: calls, by transport.
        ended: calls, by transport and reason.
        active: calls under way, by transport.
        refused: calls that were one too many.
        totals: what the calls' parts counted, by name (`figures.Totals`).
        recent_turn_s: the latest turn latencies (s), the older ones first.
        histograms: "turn" and "stop" latencies, and the event loop's "lag" (s).
    """

    started: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    active: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    recent_turn_s: list[float] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram(bounds) for name, bounds in HISTOGRAMS.items()}
    )

    @classmethod
    def of(cls, sessions: Sessions, lag: Histogram) -> Tally:
        """This process', as it is now."""
        figures, active = sessions.figures, list(sessions.active.values())
        return cls(
            started=Counter(figures.started),
            ended=Counter(figures.ended),
            active=Counter(session.kind for session in active),
            refused=figures.refused,
            totals=figures.totals(session.figures for session in active),
            recent_turn_s=list(figures.recent_turn_s),
            histograms={"turn": figures.turn, "stop": figures.stop, "lag": lag},
        )

    @classmethod
    def read(cls, packed: Mapping[str, Any]) -> Tally:
        """What `packed` gave, in another process of the same botrun."""
        tally = cls(
            started=Counter(packed["started"]),
            ended=Counter({(kind, reason): count for kind, reason, count in packed["ended"]}),
            active=Counter(packed["active"]),
            refused=packed["refused"],
            totals=Counter(packed["totals"]),
            recent_turn_s=list(packed["recent_turn_s"]),
        )
        for name, histogram in tally.histograms.items():
            histogram.counts, histogram.sum = list(packed[name]["counts"]), packed[name]["sum"]
        return tally

    def packed(self) -> dict[str, Any]:
        """As JSON."""
        histograms = {name: {"counts": of.counts, "sum": of.sum} for name, of in self.histograms.items()}
        return {
            "started": self.started,
            "ended": [[kind, reason, count] for (kind, reason), count in self.ended.items()],
            "active": self.active,
            "refused": self.refused,
            "totals": self.totals,
            "recent_turn_s": self.recent_turn_s,
            **histograms,
        }


def added(tallies: Iterable[Tally]) -> Tally:
    """All of them together; the order is that in which their processes began."""
    whole = Tally()
    for tally in tallies:
        for mine, other in (
            (whole.started, tally.started),
            (whole.active, tally.active),
            (whole.totals, tally.totals),
        ):
            mine.update(other)
        whole.ended.update(tally.ended)
        whole.refused += tally.refused
        whole.recent_turn_s = [*whole.recent_turn_s, *tally.recent_turn_s][-RECENT_TURNS:]
        for name, histogram in whole.histograms.items():
            histogram.add(tally.histograms[name])
    return whole
