"""A WebSocket without a network, between a phone and an application in one process.

For conversations in virtual time, which real sockets would block: `Phone(url, wire, connect=dial(app))`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Scope

from runner.errors import TransportError

ABNORMAL = 1006


class MemorySocket:
    """The client's end, with the part of a `websockets` connection that the phone uses."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self.close_code: int | None = None
        self.close_reason = ""
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._to_client: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._accepted = asyncio.Event()
        self._app = app
        self._url = url
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> MemorySocket:
        """Connect. Raises `TransportError` if the application refuses."""
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.create_task(self._serve(), name="memory socket")
        await self._accepted.wait()
        if self.close_code is not None:
            raise TransportError(f"{self._url} refuses: {self.close_reason}")
        return self

    async def send(self, message: str | bytes) -> None:
        """Send to the application; does nothing if the socket is closed."""
        if self.close_code is None:
            kind = "text" if isinstance(message, str) else "bytes"
            self._to_app.put_nowait({"type": "websocket.receive", kind: message})

    def __aiter__(self) -> MemorySocket:
        return self

    async def __anext__(self) -> str | bytes:
        message = await self._to_client.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close from the client's side, and wait until the application has finished."""
        if self.close_code is None:
            self._closed(code, reason)
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": code})
        if self._serving is not None:
            await asyncio.wait([self._serving])

    def break_off(self) -> None:
        """Break the connection, as a network failure would."""
        self._closed(ABNORMAL, "")
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": ABNORMAL})

    def _closed(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self._to_client.put_nowait(None)
            self._accepted.set()

    async def _serve(self) -> None:
        try:
            await self._app(_scope(self._url), self._to_app.get, self._from_app)
        finally:
            self._closed(ABNORMAL, "the application ended")

    async def _from_app(self, message: Any) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accepted.set()
            case "websocket.send" if self.close_code is None:
                text = message.get("text")
                self._to_client.put_nowait(message["bytes"] if text is None else text)
            case "websocket.close":
                self._closed(message.get("code", 1000), message.get("reason") or "")
                self._to_app.put_nowait({"type": "websocket.disconnect", "code": self.close_code})


def dial(app: ASGIApp) -> Callable[[str], Awaitable[MemorySocket]]:
    """A connect function for `Phone` that connects to this application."""

    async def connect(url: str) -> MemorySocket:
        return await MemorySocket(app, url).open()

    return connect


def _scope(url: str) -> Scope:
    parts = urlsplit(url)
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", parts.netloc.encode())],
        "client": ("127.0.0.1", 50000),
        "server": (parts.hostname, parts.port or 80),
        "subprotocols": [],
        "state": {},
    }
