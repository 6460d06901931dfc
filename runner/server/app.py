"""One process' HTTP application: the endpoints that were asked for, behind what guards them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router

from runner.server.access.local_only import BodyLimit, LocalOnly, is_loopback
from runner.server.access.login import LoginRequired
from runner.server.endpoints.lazy import LazyApp
from runner.server.endpoints.page_files import page_router
from runner.server.endpoints.prometheus import metrics_router
from runner.server.endpoints.start import start_router
from runner.server.endpoints.status import status_router
from runner.server.forwarding.middleware import ForwardToOwner
from runner.server.host import Host

PAGE_TRANSPORT = "webrtc"
PAGE_PATHS = ("/api/offer", "/sessions/{session_id}/api/offer")
"""The page's signaling, which is imported at once only where `-t webrtc` asks for it."""

Endpoint = Callable[[Host], Router]


def create_app(host: Host) -> Starlette:
    """The application of the main port: the page, `/status`, `/metrics` and each transport's routes."""
    routes = [route for router in _routers(host) for route in router.routes]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    # Middleware added last runs first: a client that may not come in cannot send a body either.
    app.add_middleware(ForwardToOwner, host=host)
    app.add_middleware(BodyLimit)
    app.add_middleware(LoginRequired, login_key=lambda: host.login_key)
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


async def _refused(request: Request, error: Exception) -> Response:
    """In the same shape as `LocalOnly`'s refusals."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


# ------------------------------------------------------------------ endpoints, by transport


def _webrtc(host: Host) -> Router:
    from runner.server.endpoints.webrtc import webrtc_router

    return webrtc_router(host)


def _daily(host: Host) -> Router:
    from runner.server.daily.endpoint import daily_router

    return daily_router(host)


def _media_sockets(host: Host) -> Router:
    from runner.server.endpoints.dial import dial_router
    from runner.server.endpoints.media_socket import media_socket_router

    return Router([*media_socket_router(host).routes, *dial_router(host).routes])


_ENDPOINTS: dict[str, Endpoint] = {PAGE_TRANSPORT: _webrtc, "daily": _daily}
"""What serves a transport; phone providers and plain clients share `_media_sockets`."""


def _endpoints(transports: Sequence[str]) -> Iterator[Endpoint]:
    """Each once, though it may serve several transports."""
    yield from dict.fromkeys(_ENDPOINTS.get(name, _media_sockets) for name in transports)


def _routers(host: Host) -> Iterator[Router]:
    for endpoint in _endpoints(host.transports):
        yield endpoint(host)
    if PAGE_TRANSPORT not in host.transports:  # the page works whatever was asked for
        yield _page_later(host)
    yield from (start_router(host), status_router(host), metrics_router(host), page_router())


def _page_later(host: Host) -> Router:
    later = LazyApp(lambda: _webrtc(host))

    async def start(request: Request) -> Response:
        await later.ready()  # which replaces this entry of `starters`
        return await host.starters[PAGE_TRANSPORT](request)

    host.starters[PAGE_TRANSPORT] = start
    return later.router(PAGE_PATHS)
