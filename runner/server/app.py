"""The HTTP application of one process: the endpoints of its transports, behind access control."""

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

    `eager`: whether to import what the transports need at once.
    """
    routes = [route for router in _routers(host, eager) for route in router.routes]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    # Middleware added last runs first: a client without access cannot send a body either.
    app.add_middleware(ForwardToOwner, host=host)
    app.add_middleware(BodyLimit)
    app.add_middleware(LoginRequired, login_key=lambda: host.login_key, is_open=_open_to(host))
    origins = host.settings.allow_origins
    if origins:  # Before the login, because browsers send the preflight without cookies.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH"],
            allow_headers=["*"],
        )
    app.add_middleware(LocalOnly, loopback_only=is_loopback(host.settings.host), origins=origins)
    return app


def _open_to(host: Host) -> Callable[[Scope], bool]:
    """Tells which requests need no key: health checks, and `/metrics` of `botrun serve` without a proxy."""

    def is_open(scope: Scope) -> bool:
        if scope["path"] in HEALTH_PATHS:
            return True
        return scope["path"] == "/metrics" and host.sessions.admission is not None and not is_forwarded(scope)

    return is_open


async def _refused(request: Request, error: Exception) -> Response:
    """An error in the same form as `LocalOnly`'s refusals."""
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
    """No routes: WebRTC's are part of the API, which is always served."""
    return Router()


_ENDPOINTS: dict[str, Endpoint] = {"webrtc": _nothing_more, "daily": _daily}
"""Endpoints by transport; phone providers and plain clients use `_media_sockets`."""


def _routers(host: Host, eager: bool) -> Iterator[Router]:
    """Each endpoint once, even if it serves several transports. The page is always served."""
    for endpoint in dict.fromkeys(_ENDPOINTS.get(name, _media_sockets) for name in host.transports):
        yield endpoint(host)
    yield from (_api(host, eager), metrics_router(host), health_router(host), page_router())
    yield Router(list(host.bot.routes))


def _api(host: Host, eager: bool) -> Router:
    """The HTTP API: created now if the run serves WebRTC, else on the first request."""

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
