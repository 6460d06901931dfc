"""`GET /status`: whether the bot can be talked to, how, and how the calls under way fare."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

if TYPE_CHECKING:
    from runner.server.app import Host
    from runner.session import Session


def status_router(host: Host) -> APIRouter:
    """`GET /status`."""
    router = APIRouter()

    @router.get("/status")
    async def status() -> dict[str, Any]:
        return {
            "status": "ready",
            # For commands of this machine that look at the process (botrun load).
            "pid": os.getpid(),
            "transports": list(host.transports),
            "bot": {"file": host.bot.path.name, "function": host.bot.function_name},
            "sessions": [_told(session) for session in host.sessions.active.values()],
        }

    return router


def _told(session: Session) -> dict[str, Any]:
    """The id is cut short: whoever knows it whole could take the call over."""
    sound = session.sound.latest() if session.sound is not None else {}
    return {"id": session.id[:6], "kind": session.kind, "secs": round(session.duration_s, 1), "sound": sound}
