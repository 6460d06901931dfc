"""`GET /status`: whether the bot can be talked to, and how."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

if TYPE_CHECKING:
    from runner.server.app import Host


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
        }

    return router
