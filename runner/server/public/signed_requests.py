"""Requests as their bytes came in, at the address that the provider was given."""

from __future__ import annotations

import logging
import re
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
MOST, MOST_KINDS = 2, 12


class ThrottledLog:
    """Log lines that strangers can cause: `MOST` of a kind within `EACH_S` seconds, the others as a count.

    Lines with the same text, digits aside, are a kind, so that a flood of one does not silence another: the
    refusal of a carrier is seen among those of strangers. Beyond `MOST_KINDS`, all others are one kind.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._since = 0.0
        self._counts: dict[str, int] = {}

    def warning(self, message: str, *args: object) -> None:
        """As `Logger.warning`."""
        now = time.monotonic()
        if now - self._since > EACH_S:
            self._report()
            self._since = now
        kind = _DIGITS.sub("", message % args)
        kind = kind if kind in self._counts or len(self._counts) < MOST_KINDS else "of other kinds"
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= MOST:
            self._logger.warning(message, *args)

    def _report(self) -> None:
        for kind, count in self._counts.items():
            if count > MOST:
                self._logger.warning("%d more in the last minute: %s", count - MOST, kind)
        self._counts.clear()


_DIGITS = re.compile(r"\d+")
