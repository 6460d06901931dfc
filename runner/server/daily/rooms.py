"""Create a Daily room and a bot for each call, and delete the room when the call ends.

GET  /         with `-t daily` first: sends the browser to a new room
POST /start    for Pipecat's clients: {"dailyRoom", "dailyToken", "sessionId"}
"""

from __future__ import annotations

import asyncio
import html
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, Router

from runner.arguments import DailyRunnerArguments
from runner.errors import BotrunError, ProtocolError, ProviderError, UsageError
from runner.providers.daily import DailyRest, Room, RoomWish
from runner.server.daily import KEYS, own_room
from runner.server.host import ApiError, Host
from runner.server.state_file import Entry, StateFile
from runner.sessions.registry import TooManySessionsError
from runner.sessions.session import EndReason, Session, new_session_id
from runner.settings import read_keys, state_folder
from runner.transports.session_port import SessionPort

logger = logging.getLogger(__name__)

LONGEST_S = 14_400.0
"""Lifetime (s) of a room if calls have no limit."""

ROOM_MARGIN_S = 60.0
BACK_S = 4.0
"""Time (s) after which a call without visitors ends; a reloading page leaves and comes back."""

BOT_GRACE_S = 2.0

OF_A_PERSON = ("is_owner", "user_id", "user_name")
"""Token properties that identify a person; only the visitor's token gets them."""

CLOSE_S = 0.2


OnOver = Callable[[Session], None]


def _nothing(session: Session) -> None:
    """No callback."""


@dataclass(frozen=True, kw_only=True)
class RoomAsk:
    """The room requested for a call.

    Attributes:
        body: passed to the bot.
        properties: Daily's properties of the room.
        token_properties: Daily's properties of the visitor's token; the bot's token gets those that name no
            person.
        dial_in: whether a phone will be connected to it; `shown_as` is its display name.
        dial_out: whether the bot may call phones from it.
        public: whether its caller comes through the public address.
    """

    body: Any = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    token_properties: Mapping[str, Any] = field(default_factory=dict)
    dial_in: bool = False
    dial_out: bool = False
    shown_as: str = "dial-in"
    public: bool = False


@dataclass(frozen=True)
class Opened:
    """A room that the bot has joined or is joining. `token` is the visitor's."""

    session: Session
    room: Room
    token: str | None

    @property
    def address(self) -> str:
        """The URL for the visitor."""
        return self.room.visitor_url(self.token)


class DailyRooms:
    """The Daily rooms of one run."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._keys = read_keys(KEYS)
        self._book = RoomJournal(state_folder(host.settings))
        self._rest: DailyRest | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def can_make(self) -> bool:
        """Whether there is an API key, so that rooms are created and must be deleted."""
        return bool(self._keys.get("DAILY_API_KEY"))

    async def open(self, ask: RoomAsk, on_end: OnOver = _nothing, call_s: float = 0.0) -> Opened:
        """Create a room, or use the one that is set, and start the bot in it.

        `on_end` is called when the call is over. `call_s` limits its length (s), in addition to the limit for
        all calls.

        Raises:
            BotrunError: it failed; a created room has been deleted.
        """
        self._host.sessions.check()  # before a room costs money
        own = own_room(self._keys) if not ask.dial_in else None
        ends_at = time.time() + (self._host.settings.max_call_secs or LONGEST_S) + ROOM_MARGIN_S
        room = own or await self._make(ask, ends_at)
        made = None if own else room.name
        try:
            bot, visitor = await self._tokens(room, ends_at, ask.token_properties)
            return self._send_bot(room, (bot, visitor), ask, made, on_end, call_s)
        except BaseException:
            await self._delete(made)
            raise

    async def _make(self, ask: RoomAsk, ends_at: float) -> Room:
        wish = RoomWish(
            expires_at=ends_at,
            dial_in=ask.dial_in,
            dial_out=ask.dial_out,
            shown_as=ask.shown_as,
            properties=ask.properties,
        )
        rest = self.rest()
        self._book.add(Made(wish.name, ends_at))
        try:
            return await rest.create_room(wish)
        except BaseException:
            await self._delete(wish.name)
            raise

    async def _tokens(
        self, room: Room, ends_at: float, properties: Mapping[str, Any]
    ) -> tuple[str | None, str | None]:
        """The bot's (owner) token and the visitor's. None without an API key, for a public room of the
        user."""
        if not self.can_make:
            return None, None
        rest = self.rest()
        for_bot = {name: value for name, value in properties.items() if name not in OF_A_PERSON}
        bot = rest.token(room.name, expires_at=ends_at, owner=True, properties=for_bot)
        visitor = rest.token(room.name, expires_at=ends_at, owner=False, properties=properties)
        tokens = await asyncio.gather(bot, visitor)
        return tokens[0], tokens[1]

    def _send_bot(
        self,
        room: Room,
        tokens: tuple[str | None, str | None],
        ask: RoomAsk,
        made: str | None,
        on_end: OnOver,
        call_s: float,
    ) -> Opened:
        host = self._host
        bot, visitor = tokens
        args = DailyRunnerArguments(
            room_url=room.url,
            token=bot,
            body=ask.body or host.settings.body or {},
            session_id=new_session_id(),
            pipeline_idle_timeout_secs=host.settings.idle_secs,
        )

        async def ended(session: Session) -> None:
            watch.aclose()
            on_end(session)
            await self._delete(made)

        watch = _Watch(host, args.session_id)
        session = host.sessions.start(
            "daily", args, on_end=ended, call_s=call_s, port=watch.port, public=ask.public
        )
        return Opened(session, room, visitor)

    # ------------------------------------------------------------ the end of rooms

    async def _delete(self, name: str | None) -> None:
        """Delete a room that botrun created. If that fails, the next start tries again."""
        if name is None:
            return
        try:
            await self.rest().delete_room(name)
        except BotrunError as error:
            logger.warning(
                "deleting room %s failed; it is deleted at the next start, or expires: %s", name, error
            )
        else:
            self._book.remove(name)

    def sweep_soon(self) -> None:
        """Delete rooms left behind by runs that have ended, in the background."""
        left = [made for made in self._book.read() if not made.is_held]
        if left and self.can_make:
            self._spawn(self._sweep(left), "deleting Daily rooms that a run left")

    async def _sweep(self, left: list[Made]) -> None:
        for made in left:
            if made.expires_at < time.time():
                self._book.remove(made.name)
            else:
                logger.info("deleting room %s left behind by an earlier run", made.name)
                await self._delete(made.name)

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def rest(self) -> DailyRest:
        """The client for Daily's REST API. Raises `UsageError` without an API key."""
        if self._rest is None:
            self._rest = DailyRest(self._keys.get("DAILY_API_KEY", ""), self._keys.get("DAILY_API_URL", ""))
        return self._rest

    async def aclose(self) -> None:
        """Close connections to Daily. Rooms are deleted with their calls."""
        for task in (tasks := set(self._tasks)):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        if self._rest is not None:
            await self._rest.aclose()


class _Watch:
    """Ends a call when its visitors have left or its bot has lost the room."""

    def __init__(self, host: Host, session_id: str) -> None:
        self._host = host
        self._session_id = session_id
        self._leaving: asyncio.Task[None] | None = None
        self.port = SessionPort(joined=self._came, left=self._left, lost=self._lost)

    def _came(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()

    def _left(self) -> None:
        self._came()
        self._leaving = asyncio.create_task(self._end(EndReason.CLIENT_LEFT, BACK_S), name="visitors left")

    def _lost(self, reason: str) -> None:
        self._came()
        end = self._end(EndReason.CONNECTION_LOST, 0.0, reason)
        self._leaving = asyncio.create_task(end, name="not in the room")

    async def _end(self, reason: EndReason, after_s: float, detail: str = "") -> None:
        await asyncio.sleep(after_s)
        await self._host.sessions.end(self._session_id, reason, BOT_GRACE_S, detail=detail)

    def aclose(self) -> None:
        self._came()


FILE = "daily-rooms.json"


@dataclass(frozen=True)
class Made(Entry):
    """A room created by a run.

    Attributes:
        name: the room's name.
        expires_at: Unix time (s) at which Daily closes it.
    """

    name: str
    expires_at: float


class RoomJournal(StateFile[Made]):
    """A file in `folder` with the rooms that exist."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, Made)

    def remove(self, name: str) -> None:
        """Remove a room that has been deleted."""
        self.drop(lambda entry: entry.name == name)


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
        """A person opens the bot's address: redirect to a new room."""
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
        """A program requests a room with a bot."""
        try:
            opened = await self.rooms.open(_ask(asked))
        except BotrunError as error:
            raise ApiError(_status(error), str(error)) from None
        return {"dailyRoom": opened.room.url, "dailyToken": opened.token, "sessionId": opened.session.id}


def _ask(asked: Mapping[str, Any]) -> RoomAsk:
    body = asked.get("body")
    calls_out = isinstance(body, dict) and bool(body.get("dialout_settings"))
    return RoomAsk(
        body=body,
        properties=_object(asked, "dailyRoomProperties"),
        token_properties=_object(asked, "dailyMeetingTokenProperties"),
        dial_out=calls_out,
    )


def _object(asked: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = asked.get(name) or {}
    if not isinstance(value, dict):
        raise ProtocolError(f"{name} must be an object")
    return value


def _not_a_visit(request: Request) -> str:
    """Why no room is opened; "" if one is. Rooms cost money, so embedded images and prefetches get none."""
    headers = request.headers
    if request.method != "GET":  # HEAD requests come from programs that check the address
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
