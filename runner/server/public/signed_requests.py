"""Requests as their bytes came in, at the address that the provider was given."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Scope
from starlette.websockets import WebSocket

from runner.providers.webhooks import WebRequest


async def webhook_of(request: Request, origin: str) -> WebRequest:
    """A webhook."""
    return WebRequest(
        request.method.upper(), _url(request.scope, origin), _headers(request.scope), await request.body()
    )


def opening_of(websocket: WebSocket, origin: str) -> WebRequest:
    """The request that opens a socket; its address is the ws one."""
    url = _url(websocket.scope, "ws" + origin.removeprefix("http"))
    return WebRequest("GET", url, _headers(websocket.scope))


def _url(scope: Scope, origin: str) -> str:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    return (origin.encode() + raw + (b"?" + query if query else b"")).decode("latin-1")


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return headers


EACH_S = 60.0
MOST = 10


class ThrottledLog:
    """Lets `MOST` lines through in each `EACH_S` seconds, and counts the others."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._since = 0.0
        self._count = 0

    def warning(self, message: str, *args: object) -> None:
        """As `Logger.warning`."""
        now = time.monotonic()
        if now - self._since > EACH_S:
            if self._count > MOST:
                self._logger.warning("%d more of this kind came", self._count - MOST)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= MOST:
            self._logger.warning(message, *args)
