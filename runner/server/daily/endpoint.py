"""The Daily endpoint: a room and a bot for each request.

GET  /         with `-t daily` first: sends the browser to a new room
POST /start    for Pipecat's clients: {"dailyRoom", "dailyToken", "sessionId"}
"""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from runner.errors import BotrunError, ProtocolError, ProviderError, UsageError
from runner.server.daily.rooms import DailyRooms, RoomAsk
from runner.server.host import ApiError, Host
from runner.sessions.registry import TooManySessionsError

logger = logging.getLogger(__name__)

NAME = "daily"

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>botrun</title>
<p>The Daily room could not be opened: {why}.</p><p><a href="/">Try again</a></p></html>"""


def daily_router(host: Host) -> Router:
    """The routes of this endpoint."""
    endpoint = DailyEndpoint(host.rooms if isinstance(host.rooms, DailyRooms) else DailyRooms(host))
    host.rooms = endpoint.rooms
    host.starters[NAME] = endpoint.start
    return Router([Route("/", endpoint.visit)] if host.transports[:1] == (NAME,) else [])


class DailyEndpoint:
    """Opens rooms."""

    def __init__(self, rooms: DailyRooms) -> None:
        self.rooms = rooms

    async def visit(self, request: Request) -> Response:
        """A person opens the bot's address: to a room of their own."""
        if refusal := _not_a_visit(request):
            return Response(refusal, 403, media_type="text/plain")
        try:
            opened = await self.rooms.open(RoomAsk())
        except BotrunError as error:
            logger.warning("no room for a visitor: %s", error)
            why = html.escape(str(error).rstrip("."))
            return HTMLResponse(_PAGE.format(why=why), _status(error))
        logger.info("visitor redirected to %s", opened.room.url)
        return RedirectResponse(opened.address, 303, headers={"cache-control": "no-store"})

    async def start(self, request: Request, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """A program asks for a room and a bot."""
        try:
            opened = await self.rooms.open(_ask(asked))
        except BotrunError as error:
            raise ApiError(_status(error), str(error)) from None
        return {"dailyRoom": opened.room.url, "dailyToken": opened.token, "sessionId": opened.session.id}


def _ask(asked: Mapping[str, Any]) -> RoomAsk:
    body, properties = asked.get("body"), asked.get("dailyRoomProperties") or {}
    if not isinstance(properties, dict):
        raise ProtocolError("dailyRoomProperties must be an object")
    calls_out = isinstance(body, dict) and bool(body.get("dialout_settings"))
    return RoomAsk(body=body, properties=properties, dial_out=calls_out)


def _not_a_visit(request: Request) -> str:
    """A room costs money: images on other pages, and browsers that prefetch, get none."""
    headers = request.headers
    if request.method != "GET":  # a HEAD comes from programs that look whether the address is there
        return "rooms are opened by a GET"
    if headers.get("sec-fetch-dest", "document") != "document":
        return "this address is for people to open"
    if "prefetch" in headers.get("sec-purpose", "") + headers.get("purpose", ""):
        return "rooms are not opened ahead of time"
    return ""


def _status(error: BotrunError) -> int:
    if isinstance(error, TooManySessionsError):
        return 503
    if isinstance(error, ProviderError):
        return 502
    return 500 if isinstance(error, UsageError) else 400
