"""`GET /status`: whether the bot can be talked to, how, and how the calls under way fare.

It tells of this worker only: calls that older code finishes after a save are shown by the terminal.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from runner.figures import quantile

if TYPE_CHECKING:
    from runner.server.app import Host
    from runner.session import Session


def status_router(host: Host) -> APIRouter:
    """`GET /status`."""
    router = APIRouter()

    @router.get("/status")
    async def status() -> dict[str, Any]:
        return describe(host)

    return router


def describe(host: Host) -> dict[str, Any]:
    """What `/status` answers, and what the terminal shows while the bot runs."""
    return {
        "status": "ready",
        # For commands of this machine that look at the process (botrun load).
        "pid": os.getpid(),
        "transports": list(host.transports),
        "bot": {"file": host.bot.path.name, "function": host.bot.function_name},
        "sessions": [_told(session) for session in host.sessions.active.values()],
        "turns": _turns(host.sessions.figures.recent_turn_s),
    }


def _turns(seconds: Collection[float]) -> dict[str, float]:
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
        "turns": _turns(figures.turn_s),
        "last_turn_ms": {part: round(seconds * 1000) for part, seconds in figures.last_turn.items()},
    }
