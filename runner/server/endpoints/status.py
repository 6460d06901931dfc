"""`GET /status`: whether the bot can be talked to, how, and how the calls under way fare.

It tells of the run: calls that older code finishes after a save are in it (`run_totals.py`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from runner.server.handover.run_totals import latencies

if TYPE_CHECKING:
    from runner.server.host import Host


def status_router(host: Host) -> Router:
    """`GET /status`."""

    async def status(request: Request) -> JSONResponse:
        return JSONResponse(await describe(host))

    return Router([Route("/status", status)])


async def describe(host: Host) -> dict[str, Any]:
    """What `/status` answers, and what the terminal shows while the bot runs."""
    tally, sessions = await host.run_totals.ask()
    return {
        "status": "ready",
        # For commands of this machine that look at the process (botrun load).
        "pid": os.getpid(),
        "transports": list(host.transports),
        "bot": {"file": host.bot.path.name, "function": host.bot.function_name},
        "sessions": sessions,
        "turns": latencies(tally.recent_turn_s),
    }
