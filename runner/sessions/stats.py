"""Statistics of calls, for `GET /metrics`, the log and `botrun load`.

Nothing is counted per chunk of sound here: the parts of a call keep their own totals, which are read on
request and when the call ends.
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
"""Number of turns kept for the bot's current latency."""

Totals = Callable[[], Mapping[str, float]]
"""A part's totals by name: "underruns", "malformed" (messages), "refused_ms", "dropped_ms"."""


class Histogram:
    """A histogram.

    Attributes:
        bounds: upper bounds of the buckets, in order; the last bucket has none.
        counts: number of values per bucket.
        sum: the sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def add(self, other: Histogram) -> None:
        """Add another histogram with the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        return sum(self.counts)


class CallFigures:
    """The statistics of one call.

    Attributes:
        turn_s: turn latencies (s), in order.
        last_turn: the parts of the last turn's latency (s), in order.
        stop_s: stop latencies (s), in order.
        session_id: the call's id, or "".
        has_pipeline: whether a pipeline has run in it.
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
        """Note a turn latency (s)."""
        self.turn_s.append(seconds)
        self.last_turn = dict(parts or {})
        if self._process is not None:
            self._process.turn.observe(seconds)
            self._process.recent_turn_s.append(seconds)

    def stop(self, seconds: float) -> None:
        """Note a stop latency (s)."""
        self.stop_s.append(seconds)
        if self._process is not None:
            self._process.stop.observe(seconds)

    @contextlib.contextmanager
    def counting(self, parts: Iterable[Totals]) -> Iterator[None]:
        """Include these parts' totals while the block runs, and keep their final values."""
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
        """The sums of all parts' totals."""
        found = Counter(self._settled)
        for part in self._parts:
            found.update(part())
        return found

    def summary(self) -> str:
        """A phrase for the log line of the call's end; "" if there is nothing to report."""
        totals = self.totals()
        phrases = [_latency("turn latency", self.turn_s), _latency("stop latency", self.stop_s)]
        phrases += [words.format(totals[name]) for name, words in _FAULTS.items() if totals[name] >= 0.5]
        return ", ".join(part for part in phrases if part)


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
    """The smallest value that `share` of the values do not exceed.

    Raises:
        IndexError: there are no values.
    """
    ordered = sorted(values)
    return ordered[max(ceil(len(ordered) * share) - 1, 0)]


class Figures:
    """The statistics of all calls of this process.

    Attributes:
        started: calls, by transport.
        ended: calls, by transport and reason.
        refused: calls refused because of the limit.
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
        """Count a new call; returns its statistics. `goes_on`: it began in another process."""
        if not goes_on:
            self.started[transport] += 1
        return CallFigures(self, session_id)

    def end(self, transport: str, reason: str, call: CallFigures, *, goes_on: bool = False) -> None:
        """Count the end of a call. `goes_on`: it continues in another process."""
        if not goes_on:
            self.ended[transport, reason] += 1
        self._over.update(call.totals())

    def totals(self, active: Iterable[CallFigures]) -> Counter[str]:
        """The totals of all calls, including the active ones."""
        found = Counter(self._over)
        for call in active:
            found.update(call.totals())
        return found


_current: ContextVar[CallFigures | None] = ContextVar("botrun_call_figures", default=None)


def enter_call(figures: CallFigures) -> None:
    """From now on, code in this context belongs to this call."""
    _current.set(figures)


def current_call() -> CallFigures:
    """The statistics of this context's call; outside a call, a new object that nobody reads."""
    return _current.get() or CallFigures()


HISTOGRAMS = {"turn": LATENCY_BOUNDS_S, "stop": LATENCY_BOUNDS_S, "lag": LAG_BOUNDS_S}


@dataclass(kw_only=True)
class CallTotals:
    """The statistics of all calls of one process, or of several.

    Attributes:
        started: calls, by transport.
        ended: calls, by transport and reason.
        active: active calls, by transport.
        refused: calls refused because of the limit.
        parts: what the calls' parts counted, by name (see `Totals`).
        recent_turn_s: the latest turn latencies (s), oldest first.
        histograms: "turn" and "stop" latencies, and the event loop's "lag" (s).
    """

    started: Counter[str] = field(default_factory=Counter)
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    active: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    recent_turn_s: list[float] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram(bounds) for name, bounds in HISTOGRAMS.items()}
    )

    @classmethod
    def read(cls, packed: Mapping[str, Any]) -> CallTotals:
        """The inverse of `packed`, in another process of the same version."""
        totals = cls(
            started=Counter(packed["started"]),
            ended=Counter({(kind, reason): count for kind, reason, count in packed["ended"]}),
            active=Counter(packed["active"]),
            refused=packed["refused"],
            parts=Counter(packed["parts"]),
            recent_turn_s=list(packed["recent_turn_s"]),
        )
        for name, histogram in totals.histograms.items():
            histogram.counts, histogram.sum = list(packed[name]["counts"]), packed[name]["sum"]
        return totals

    def packed(self) -> dict[str, Any]:
        """As JSON values."""
        histograms = {name: {"counts": of.counts, "sum": of.sum} for name, of in self.histograms.items()}
        return {
            "started": self.started,
            "ended": [[kind, reason, count] for (kind, reason), count in self.ended.items()],
            "active": self.active,
            "refused": self.refused,
            "parts": self.parts,
            "recent_turn_s": self.recent_turn_s,
            **histograms,
        }


def added(several: Iterable[CallTotals]) -> CallTotals:
    """The sum of several. They must be in the order in which their processes started."""
    whole = CallTotals()
    for totals in several:
        for mine, other in (
            (whole.started, totals.started),
            (whole.active, totals.active),
            (whole.parts, totals.parts),
        ):
            mine.update(other)
        whole.ended.update(totals.ended)
        whole.refused += totals.refused
        whole.recent_turn_s = [*whole.recent_turn_s, *totals.recent_turn_s][-RECENT_TURNS:]
        for name, histogram in whole.histograms.items():
            histogram.add(totals.histograms[name])
    return whole
