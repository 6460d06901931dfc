"""One process' HTTP application: the doors that were asked for, behind what guards them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router

from runner.botcode.loader import LoadedBot
from runner.server.access.local_only import BodyLimit, LocalDoor, is_loopback
from runner.server.access.login import LoginDoor
from runner.server.endpoints.lazy import LaterDoor
from runner.server.endpoints.page_files import page_router
from runner.server.endpoints.prometheus import metrics_router
from runner.server.endpoints.start import start_router
from runner.server.endpoints.status import status_router
from runner.server.handover.moves import Moves
from runner.server.handover.other_workers import Knows, Siblings, ToOwner
from runner.server.handover.run_totals import RunFigures
from runner.sessions.registry import Sessions
from runner.settings import Settings
from runner.settings.transports import TRANSPORTS

if TYPE_CHECKING:
    from runner.server.daily.rooms import DailyRooms
    from runner.server.public.public_calls import Exchange
    from runner.transports.websocket.socket import CallWebSocket

Starter = Callable[[Request], Awaitable[Response]]

PAGE_TRANSPORT = "webrtc"
PAGE_PATHS = ("/api/offer", "/sessions/{session_id}/api/offer")
"""Where the page's door is, which is loaded at once only where it was asked for."""


@dataclass
class Host:
    """What every door needs: whom to serve, and how. `transports` are those asked for, the default first;
    `exchange` is the public side, while it is open; `moves` the calls that change their code; `starters`
    answer `/start`, by transport; `rooms` are Daily's, where it is served; `siblings` the other workers, and
    `knows` what tells the doors' ids of calls; `calls` are those that a socket brings, by provider and id;
    `passing` carries the sockets of calls that others have; `run_figures` counts the calls of all of them."""

    settings: Settings
    bot: LoadedBot
    sessions: Sessions
    transports: tuple[str, ...]
    exchange: Exchange | None = None
    moves: Moves = field(default_factory=Moves)
    starters: dict[str, Starter] = field(default_factory=dict)
    rooms: DailyRooms | None = None
    siblings: Siblings | None = None
    knows: list[Knows] = field(default_factory=list)
    calls: dict[str, CallWebSocket] = field(default_factory=dict)
    passing: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.run_figures = RunFigures(self)
        self.moves.on_lost = self.sessions.lose

    @property
    def login_key(self) -> str:
        """What the main port asks for; "" while nobody else can reach it (`server/access/login.py`)."""
        return self.exchange.dial_key if self.exchange is not None else self.settings.login_key

    def knows_call(self, names: Sequence[str]) -> bool:
        """Whether one of these ids is of a call, under way or to come, that this process has."""
        return any(
            knows(name) for name in names for knows in (self.sessions.knows, self.moves.has, *self.knows)
        )


def create_app(host: Host) -> Starlette:
    """The application: the page, `/status`, `/metrics` and the routes of each transport's door."""
    routes = [route for router in _routers(host) for route in router.routes]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    # The one added last stands outermost: who is not let in cannot send a body either.
    app.add_middleware(ToOwner, host=host)
    app.add_middleware(BodyLimit)
    app.add_middleware(LoginDoor, host=host)
    origins = host.settings.allow_origins
    if (
        origins
    ):  # browsers ask before they let a page of another site call; outside of the login, which they lack
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH"],
            allow_headers=["*"],
        )
    app.add_middleware(LocalDoor, loopback_only=is_loopback(host.settings.host), origins=origins)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """In the same words as `LocalDoor`'s refusals."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _routers(host: Host) -> Iterator[Router]:
    """Each door once, though it may serve several transports. The page works whatever was asked for."""
    page_door = TRANSPORTS[PAGE_TRANSPORT].door
    doors = dict.fromkeys(TRANSPORTS[name].door for name in host.transports)
    for door in doors:
        yield _router(door, host)
    if page_door not in doors:
        yield _page_later(host)
    yield from (start_router(host), status_router(host), metrics_router(host), page_router())


def _page_later(host: Host) -> Router:
    later = LaterDoor(lambda: _router(TRANSPORTS[PAGE_TRANSPORT].door, host))

    async def start(request: Request) -> Response:
        await later.ready()  # which puts its own answer in this place
        return await host.starters[PAGE_TRANSPORT](request)

    host.starters[PAGE_TRANSPORT] = start
    return later.router(PAGE_PATHS)


def _router(door: str, host: Host) -> Router:
    module, _, function = door.partition(":")
    return cast(Callable[[Host], Router], getattr(import_module(module), function))(host)
