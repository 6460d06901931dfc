"""`GET /metrics`: statistics of this run's calls, in Prometheus' text format.

It sums all workers of the run, including those that have ended (`handover/other_workers.py`), so counters
never decrease after a reload. `process_…` is about the process that answers. It is served only on the main
port, with the access checks of `/status`. prometheus-client is imported in a thread on the first request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from runner.sessions.admission import RunLoad
from runner.sessions.stats import CallTotals, Histogram

if TYPE_CHECKING:
    from runner.server.host import Host


def metrics_router(host: Host) -> Router:
    """`GET /metrics`."""
    page: list[MetricsPage] = []

    async def metrics(request: Request) -> Response:
        if not page:
            await asyncio.to_thread(_import)
            page.append(MetricsPage())
        totals, _ = await host.run_totals.ask()
        admission = host.sessions.admission
        return page[0].answer(totals, None if admission is None else admission.run)

    return Router([Route("/metrics", metrics)])


def _import() -> None:
    import prometheus_client.exposition  # noqa: F401


class MetricsPage:
    """Renders a run's statistics. Needs prometheus-client, whose import takes 0.1 s."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._totals = CallTotals()
        self._load: RunLoad | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answer(self, totals: CallTotals, load: RunLoad | None = None) -> Response:
        """The response for the route."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        # With `media_type` Starlette would add a second charset.
        return Response(self.text(totals, load), headers={"content-type": CONTENT_TYPE_LATEST})

    def text(self, totals: CallTotals, load: RunLoad | None = None) -> bytes:
        """The metrics in the text format."""
        from prometheus_client.exposition import generate_latest

        self._totals, self._load = totals, load
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Any]:
        """The metrics, for the registry."""
        totals = self._totals
        turn, stop, lag = (totals.histograms[name] for name in ("turn", "stop", "lag"))
        yield from _sessions(totals)
        yield _histogram(
            "turn_latency", "Time from the end of the user's speech to the bot's first sound.", turn
        )
        yield _histogram(
            "stop_latency", "Time from the user's first sound over the bot to its silence.", stop
        )
        yield _histogram("loop_lag", "Lag of the event loop during calls.", lag)
        yield from _faults(totals.parts)
        if self._load is not None:
            yield from _capacity(self._load)


def _capacity(load: RunLoad) -> Iterator[Any]:
    """For autoscalers: the sum over all servers, divided by the target share per server, is the number of
    servers needed."""
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("botrun_capacity_used", "Share of this server's capacity in use.", load.used)
    yield GaugeMetricFamily("botrun_capacity_calls", "Maximum number of calls; 0: unknown.", load.capacity)
    yield GaugeMetricFamily("botrun_workers", "Workers that accept calls.", load.workers)


def _sessions(totals: CallTotals) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    now = GaugeMetricFamily("botrun_sessions_active", "Active calls.", labels=["transport"])
    started = CounterMetricFamily("botrun_sessions_started", "Started calls.", labels=["transport"])
    ended = CounterMetricFamily("botrun_sessions_ended", "Ended calls.", labels=["transport", "reason"])
    for transport, count in sorted(totals.started.items()):
        now.add_metric([transport], totals.active[transport])
        started.add_metric([transport], count)
    for (transport, reason), count in sorted(totals.ended.items()):
        ended.add_metric([transport, reason], count)
    yield from (now, started, ended)
    yield CounterMetricFamily(
        "botrun_sessions_refused", "Calls refused for lack of capacity.", totals.refused
    )


def _histogram(name: str, about: str, of: Histogram) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    ends = [*map(str, of.bounds), "+Inf"]
    buckets = list(zip(ends, accumulate(of.counts), strict=True))
    return HistogramMetricFamily(f"botrun_{name}_seconds", about, buckets=buckets, sum_value=of.sum)


def _faults(totals: Counter[str]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    for name, about, value in (
        ("underruns", "Gaps of over 20 ms in the bot's sound.", totals["underruns"]),
        ("messages_dropped", "Malformed messages from callers.", totals["malformed"]),
        ("sound_refused_seconds", "Dropped sound of interrupted replies.", totals["refused_ms"] / 1000),
        (
            "sound_dropped_seconds",
            "Callers' sound dropped because the pipeline was too slow.",
            totals["dropped_ms"] / 1000,
        ),
    ):
        yield CounterMetricFamily(f"botrun_{name}", about, value)
