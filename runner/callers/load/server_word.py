"""What a botrun that we started says of the load itself, in its `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

METRICS_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ServerWord:
    """The server's own figures since it began.

    Attributes:
        loop_lag_ms: its event loop was late by at most this in 99 of 100 looks; None: later than it counts.
        underruns: holes of over 20 ms in what it sent.
        dropped: malformed messages.
        dropped_ms: callers' sound that its pipelines did not take.
        refused: calls that were one too many.
    """

    loop_lag_ms: float | None
    underruns: int
    dropped: int
    dropped_ms: float
    refused: int


def ask(url: str) -> ServerWord | None:
    """Ask the botrun at that address; None if it does not say."""
    import httpx2
    from prometheus_client.parser import text_string_to_metric_families

    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    try:
        address = urlunsplit((scheme, parts.netloc, "/metrics", "", ""))
        answer = httpx2.get(address, timeout=METRICS_TIMEOUT_S, trust_env=False)
        if answer.status_code != 200:
            return None
        return word_of(s for family in text_string_to_metric_families(answer.text) for s in family.samples)
    except (httpx2.HTTPError, ValueError):
        return None


def word_of(samples: Iterable[Any]) -> ServerWord | None:
    """From the samples of its page."""
    single: dict[str, float] = {}
    lag: dict[float, float] = {}
    for sample in samples:
        if sample.name == "botrun_loop_lag_seconds_bucket":
            lag[float(sample.labels["le"])] = sample.value
        else:
            single[sample.name] = sample.value
    if not lag:
        return None
    return ServerWord(
        loop_lag_ms=_bound_ms(lag),
        underruns=int(single.get("botrun_underruns_total", 0)),
        dropped=int(single.get("botrun_messages_dropped_total", 0)),
        dropped_ms=1000 * single.get("botrun_sound_dropped_seconds_total", 0.0),
        refused=int(single.get("botrun_sessions_refused_total", 0)),
    )


def _bound_ms(cumulative: Mapping[float, float], share: float = 0.99) -> float | None:
    total = max(cumulative.values())
    bound = min((end for end, count in cumulative.items() if count >= share * total), default=float("inf"))
    return 1000 * bound if bound != float("inf") else None
