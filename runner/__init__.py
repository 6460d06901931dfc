"""botrun runs a single-file voice bot in the browser and on the phone.

ARCHITECTURE.md shows the map of this package and the way of one packet through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.arguments import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)

if TYPE_CHECKING:
    from runner.transports.create import create_transport
    from runner.transports.websocket import parse_telephony_websocket

__all__ = [
    "DailyRunnerArguments",
    "RunnerArguments",
    "SmallWebRTCRunnerArguments",
    "WebSocketRunnerArguments",
    "create_transport",
    "parse_telephony_websocket",
]

_LATER = {
    "create_transport": "runner.transports.create",
    "parse_telephony_websocket": "runner.transports.websocket",
}


def __getattr__(name: str) -> Any:
    """What loads packages is imported when it is asked for: `botrun --help` needs none of it."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
