"""W3C trace context of the call whose code runs: what requests to services carry in their headers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

_traceparent: ContextVar[Callable[[], str] | None] = ContextVar("botrun traceparent", default=None)


def enter_trace(traceparent: Callable[[], str]) -> None:
    """Code in this context belongs to a trace. `traceparent` returns the header's value
    (https://www.w3.org/TR/trace-context/)."""
    _traceparent.set(traceparent)


def trace_headers() -> dict[str, str]:
    """Headers for a request to a service; none outside a trace."""
    traceparent = _traceparent.get()
    return {} if traceparent is None else {"traceparent": traceparent()}
