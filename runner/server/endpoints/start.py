"""`POST /start`: a program asks for a session, in the way that fits it. Each door brings its own answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from runner.errors import ProtocolError

if TYPE_CHECKING:
    from runner.server.host import Host

USUAL = "webrtc"
DAILY_WORDS = ("createDailyRoom", "dailyRoomProperties")
"""What Pipecat's clients of Daily send along."""


def start_router(host: Host) -> Router:
    """`POST /start`."""

    async def start(request: Request) -> Response:
        try:
            asked = await read_object(request)
        except ProtocolError:
            asked = {}  # the door's own answer says so
        starter = host.starters.get(_wanted(host, asked)) or host.starters[USUAL]
        return await starter(request)

    return Router([Route("/start", start, methods=["POST"])])


def _wanted(host: Host, asked: dict[str, Any]) -> str:
    if (named := asked.get("transport")) is not None:
        return str(named)
    if any(asked.get(word) for word in DAILY_WORDS):
        return "daily"
    return host.transports[0] if host.transports else USUAL


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request bears. Raises `ProtocolError`."""
    try:
        asked = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):  # deep nesting is no ValueError
        raise ProtocolError("the body is not JSON") from None
    if not isinstance(asked, dict):
        raise ProtocolError("the body must be a JSON object")
    return asked
