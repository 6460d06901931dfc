"""`GET /metrics`: the calls of this process in figures, in Prometheus' text format.

Of this worker only: after a save the counters begin anew, and calls that older code finishes are not in them.
On the main port only, and behind the same doors as `/status`. prometheus-client is imported at the first
request, in a thread: who never asks pays nothing for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from runner.figures import Histogram
from runner.pipeline.slow import SlowWatch

if TYPE_CHECKING:
    from runner.server.app import Host
    from runner.session import Sessions


def metrics_router(host: Host) -> APIRouter:
    """`GET /metrics`."""
    router = APIRouter()
    page: list[MetricsPage] = []

    @router.get("/metrics")
    async def metrics() -> Response:
        if not page:
            await asyncio.to_thread(_import)
            page.append(MetricsPage(host.sessions, SlowWatch.shared(asyncio.get_running_loop())))
        return page[0].answer()

    return router


def _import() -> None:
    import prometheus_client.exposition  # noqa: F401


class MetricsPage:
    """Shows the figures as they are now. Needs prometheus-client imported, which takes 0.1 s."""

    def __init__(self, sessions: Sessions, watch: SlowWatch) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._sessions = sessions
        self._watch = watch
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answer(self) -> Response:
        """For the route."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        # With `media_type` Starlette would add a second charset.
        return Response(self.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    def text(self) -> bytes:
        """In the text format."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self._registry)

    def collect(self) -> Iterator[Any]:
        """The metrics, for the registry."""
        figures, active = self._sessions.figures, list(self._sessions.active.values())
        totals = figures.totals(session.figures for session in active)
        yield from _sessions(self._sessions, Counter(session.kind for session in active))
        yield _histogram("turn_latency", "End of the user's speech to the bot's first sound.", figures.turn)
        yield _histogram("stop_latency", "User's first sound over the bot to its silence.", figures.stop)
        yield _histogram("loop_lag", "How late the event loop is, during calls.", self._watch.lag)
        yield from _faults(totals)


def _sessions(sessions: Sessions, active: Counter[str]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    figures = sessions.figures
    now = GaugeMetricFamily("botrun_sessions_active", "Calls under way.", labels=["transport"])
    started = CounterMetricFamily("botrun_sessions_started", "Calls that began.", labels=["transport"])
    ended = CounterMetricFamily("botrun_sessions_ended", "Calls over.", labels=["transport", "reason"])
    for transport, count in sorted(figures.started.items()):
        now.add_metric([transport], active[transport])
        started.add_metric([transport], count)
    for (transport, reason), count in sorted(figures.ended.items()):
        ended.add_metric([transport, reason], count)
    yield from (now, started, ended)
    yield CounterMetricFamily("botrun_sessions_refused", "Calls that were one too many.", figures.refused)


def _histogram(name: str, about: str, of: Histogram) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    ends = [*map(str, of.bounds), "+Inf"]
    buckets = list(zip(ends, accumulate(of.counts), strict=True))
    return HistogramMetricFamily(f"botrun_{name}_seconds", about, buckets=buckets, sum_value=of.sum)


def _faults(totals: Counter[str]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    for name, about, value in (
        ("underruns", "Holes in the bot's sound of over 20 ms.", totals["underruns"]),
        ("messages_dropped", "Malformed messages from callers.", totals["malformed"]),
        ("sound_refused_seconds", "Sound of interrupted replies, dropped.", totals["refused_ms"] / 1000),
        ("sound_dropped_seconds", "Callers' sound the pipeline did not take.", totals["dropped_ms"] / 1000),
    ):
        yield CounterMetricFamily(f"botrun_{name}", about, value)
