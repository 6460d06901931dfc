"""What is counted of calls, for `GET /metrics`, the log and `botrun load`: plain numbers.

Nothing is counted per piece of sound here: the parts of a call keep their own totals, and are asked for
them when somebody looks, and once when the call ends.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import ceil
from typing import Any

LATENCY_BOUNDS_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0)
LAG_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

RECENT_TURNS = 200
"""So many turns are kept to tell how fast the bot is just now."""

Totals = Callable[[], Mapping[str, float]]
"""A part's totals by name: "underruns", "malformed" (messages), "refused_ms", "dropped_ms"."""


class Histogram:
    """How often a value fell where.

    Attributes:
        bounds: upper ends of the buckets, in order; one more bucket has no upper end.
        counts: how often, per bucket.
        sum: of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: Histogram) -> None:
        """Count what another one of the same bounds has counted, too."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        return sum(self.counts)


class CallFigures:
    """The figures of one call.

    Attributes:
        turn_s: turn latencies (s), in order.
        last_turn: what the last turn's latency was made of (s), by part, in their order.
        stop_s: stop latencies (s), in order.
        session_id: the call's; empty where there is none.
        has_pipeline: whether a pipeline runs or ran in it.
    """

    def __init__(self, process: Figures | None = None, session_id: str = "") -> None:
        self.session_id = session_id
        self.has_pipeline = False
        self.turn_s: list[float] = []
        self.last_turn: dict[str, float] = {}
        self.stop_s: list[float] = []
        self._process = process
        self._settled: Counter[str] = Counter()
        self._parts: list[Totals] = []

    def turn(self, seconds: float, parts: Mapping[str, float] | None = None) -> None:
        """The bot has answered after so long."""
        self.turn_s.append(seconds)
        self.last_turn = dict(parts or {})
        if self._process is not None:
            self._process.turn.observe(seconds)
            self._process.recent_turn_s.append(seconds)

    def stop(self, seconds: float) -> None:
        """The bot has fallen silent so long after it was interrupted."""
        self.stop_s.append(seconds)
        if self._process is not None:
            self._process.stop.observe(seconds)

    @contextlib.contextmanager
    def counting(self, parts: Iterable[Totals]) -> Iterator[None]:
        """While the block runs, these are asked for their totals; at its end for the last time."""
        parts = list(parts)
        self.has_pipeline = True
        self._parts += parts
        try:
            yield
        finally:
            for part in parts:
                self._parts.remove(part)
                self._settled.update(part())

    def totals(self) -> Counter[str]:
        """All parts' totals, added up."""
        found = Counter(self._settled)
        for part in self._parts:
            found.update(part())
        return found

    def summary(self) -> str:
        """For the line that ends a call; empty if nothing is worth a word."""
        totals = self.totals()
        parts = [_latency("turn latency", self.turn_s), _latency("stop latency", self.stop_s)]
        parts += [words.format(totals[name]) for name, words in _FAULTS.items() if totals[name] >= 0.5]
        return ", ".join(part for part in parts if part)


_FAULTS = {
    "underruns": "underruns: {:.0f}",
    "malformed": "malformed messages: {:.0f}",
    "dropped_ms": "{:.0f} ms of the caller's sound dropped",
}


def _latency(name: str, seconds: Sequence[float]) -> str:
    if not seconds:
        return ""
    return f"{name} {quantile(seconds, 0.5) * 1000:.0f} ms p50 (n={len(seconds)})"


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest of these that `share` of them do not exceed.

    Raises:
        IndexError: there are none.
    """
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * share) - 1, 0)]


class Figures:
    """The figures of all calls of this process, since it began.

    Attributes:
        started: calls, by transport.
        ended: calls, by transport and reason.
        refused: calls that were one too many.
        turn: turn latencies (s).
        stop: stop latencies (s).
        recent_turn_s: the latest turn latencies (s), in order.
    """

    def __init__(self) -> None:
        self.recent_turn_s: deque[float] = deque(maxlen=RECENT_TURNS)
        self.started: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.refused = 0
        self.turn = Histogram(LATENCY_BOUNDS_S)
        self.stop = Histogram(LATENCY_BOUNDS_S)
        self._over: Counter[str] = Counter()

    def begin(self, transport: str, session_id: str = "", *, goes_on: bool = False) -> CallFigures:
        """A call begins; what is counted of it goes to the result. `goes_on`: it began in another process."""
        if not goes_on:
            self.started[transport] += 1
        return CallFigures(self, session_id)

    def end(self, transport: str, reason: str, call: CallFigures, *, goes_on: bool = False) -> None:
        """It is over. `goes_on`: only here."""
        if not goes_on:
            self.ended[transport, reason] += 1
        self._over.update(call.totals())

    def totals(self, active: Iterable[CallFigures]) -> Counter[str]:
        """All calls' totals, those under way included."""
        found = Counter(self._over)
        for call in active:
            found.update(call.totals())
        return found


_current: ContextVar[CallFigures | None] = ContextVar("botrun_call_figures", default=None)


def enter_call(figures: CallFigures) -> None:
    """Whatever runs in this context from now on belongs to that call."""
    _current.set(figures)


def current_call() -> CallFigures:
    """The figures of the call that this context belongs to; of nobody's if it belongs to none."""
    return _current.get() or CallFigures()


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
