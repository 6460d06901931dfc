"""One process' HTTP application: the endpoints that were asked for, behind what guards them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Scope

from runner.server.access import BodyLimit, LocalOnly, LoginRequired, is_forwarded, is_loopback
from runner.server.endpoints.health import PATHS as HEALTH_PATHS
from runner.server.endpoints.health import health_router
from runner.server.endpoints.lazy import Lazy, LazyApp
from runner.server.endpoints.page_files import page_router
from runner.server.endpoints.prometheus import metrics_router
from runner.server.forwarding import ForwardToOwner
from runner.server.host import Host

if TYPE_CHECKING:
    from runner.server.endpoints.webrtc import WebRTCEndpoint

Endpoint = Callable[[Host], Router]

API_PATHS = (
    *("/start", "/status", "/dial", "/dial/{call_id}", "/openapi.json", "/docs"),
    *("/api/{path:path}", "/sessions/{session_id}/api/offer"),
)
"""The paths of the HTTP API (`endpoints/api.py`)."""


def create_app(host: Host, *, eager: bool = True) -> Starlette:
    """The application of the main port: the page, the HTTP API, `/metrics` and each transport's routes.

    `eager`: whether to import at once what the transports asked for need.
    """
    routes = [route for router in _routers(host, eager) for route in router.routes]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    # Middleware added last runs first: a client that may not come in cannot send a body either.
    app.add_middleware(ForwardToOwner, host=host)
    app.add_middleware(BodyLimit)
    app.add_middleware(LoginRequired, login_key=lambda: host.login_key, is_open=_open_to(host))
    origins = host.settings.allow_origins
    if origins:  # Outside of the login: browsers send the preflight without cookies.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH"],
            allow_headers=["*"],
        )
    app.add_middleware(LocalOnly, loopback_only=is_loopback(host.settings.host), origins=origins)
    return app


def _open_to(host: Host) -> Callable[[Scope], bool]:
    """Whether a request needs no key: one for the state, or for the metrics of `botrun serve` from inside."""

    def is_open(scope: Scope) -> bool:
        if scope["path"] in HEALTH_PATHS:
            return True
        return scope["path"] == "/metrics" and host.sessions.admission is not None and not is_forwarded(scope)

    return is_open


async def _refused(request: Request, error: Exception) -> Response:
    """In the same shape as `LocalOnly`'s refusals."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


# ------------------------------------------------------------------ endpoints, by transport


def _daily(host: Host) -> Router:
    from runner.server.daily.rooms import daily_router

    return daily_router(host)


def _media_sockets(host: Host) -> Router:
    from runner.server.endpoints.media_socket import media_socket_router

    return media_socket_router(host)


def _nothing_more(host: Host) -> Router:
    """WebRTC's routes are in the API, which is always there."""
    return Router()


_ENDPOINTS: dict[str, Endpoint] = {"webrtc": _nothing_more, "daily": _daily}
"""What serves a transport; phone providers and plain clients share `_media_sockets`."""


def _routers(host: Host, eager: bool) -> Iterator[Router]:
    """Each once, though it may serve several transports. The page works whatever was asked for."""
    for endpoint in dict.fromkeys(_ENDPOINTS.get(name, _media_sockets) for name in host.transports):
        yield endpoint(host)
    yield from (_api(host, eager), metrics_router(host), health_router(host), page_router())
    yield Router(list(host.bot.routes))


def _api(host: Host, eager: bool) -> Router:
    """The HTTP API: built now where WebRTC was asked for, else at its first request."""

    def make_webrtc() -> WebRTCEndpoint:
        from runner.server.endpoints.webrtc import WebRTCEndpoint

        return WebRTCEndpoint(host)

    def make_api() -> ASGIApp:
        from runner.server.endpoints.api import create_api

        return create_api(host, webrtc)

    webrtc, api = Lazy(make_webrtc), Lazy(make_api)
    if eager and "webrtc" in host.transports:
        webrtc.now()
        api.now()
    app = LazyApp(api)
    return Router([Route(path, app) for path in API_PATHS])
