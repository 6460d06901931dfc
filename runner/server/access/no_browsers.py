"""Keeps browsers' pages from the carriers' address (plain ASGI)."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from runner.server.access.local_only import answer, values_of

POLICY_VIOLATION = 1008


class NoPages:
    """Refuses what a browser sends for a page of another site: carriers send no Origin."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = values_of(scope.get("headers", []), "origin")
        if scope["type"] == "lifespan" or all(origin == self._origin for origin in origins):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "no pages here"})
        else:
            await answer(send, 403, "this address is for phone companies, not for pages")
