"""HTTP connections under uvicorn, with timeouts for receiving a request and sending its response.

uvicorn limits only the time between two requests, so a client that sends a byte now and then would keep its
connection forever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from runner.server.wire import connection_limits
from runner.server.wire.connection_limits import ConnectionLimits

if TYPE_CHECKING:
    from uvicorn import Config
    from websockets.http11 import Request

REQUEST_S = 10.0
"""Time (s) for a request's head and body, from its first byte; for the first request, from the connection."""

MAX_HEAD_BYTES = 64 * 1024

STALL_S = 20.0
"""Time (s) after which a client that does not read a response is disconnected."""


class HttpProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for each request. `WebSocketProtocol` takes over after an
    upgrade."""

    def __init__(
        self, *args: Any, request_s: float = REQUEST_S, limits: ConnectionLimits | None = None, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.conn = _StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._request_s = request_s
        self._limits = limits or ConnectionLimits()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._seen_scope: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_more()
        self._limits.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._watch_writing(stalled=False)
        self._limits.closed(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # h11's states while a part of the request is still to come.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and self.transport.get_protocol() is self:
            self._expect_more()
        else:
            self._expect_nothing()
            self._limits.answering(self.transport)

    def handle_events(self) -> None:
        """Process received events; adds `VERIFY` to a new request's scope before its task starts."""
        super().handle_events()
        if self.scope is not self._seen_scope:
            self._seen_scope = self.scope
            transport = self.transport
            extensions = connection_limits.extension(lambda: self._limits.verified(transport))
            self.scope["extensions"] = extensions

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Refuse data sent directly after the request: uvicorn would drop it and read the rest as a new
        frame."""
        if self.conn.trailing_data[0]:
            self.send_400_response("Received data before the upgrade was answered.")
        else:
            super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._limits.idle(self.transport)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed HTTP. Within a request, uvicorn would send a second response; instead, the
        application is notified of the disconnect."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(stalled=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_writing(stalled=False)

    def _expect_more(self) -> None:
        if self._deadline is None:
            # Abort, because with TLS a close would wait for the client's.
            self._deadline = self.loop.call_later(self._request_s, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_writing(self, *, stalled: bool) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(STALL_S, self.transport.abort) if stalled else None


class _StrictConnection(h11.Connection):
    """Refuses requests that h11 accepts but that servers may interpret differently."""

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if b"content-length" in names and b"transfer-encoding" in names:
                # RFC 9112, 6.1: a sign of request smuggling, which a server may refuse.
                raise h11.RemoteProtocolError("the request has both Content-Length and Transfer-Encoding")
            if event.http_version < b"1.1" and (b"upgrade", b"websocket") in _lower(event.headers):
                # RFC 6455, 4.1: the version must be 1.1 or higher.
                raise h11.RemoteProtocolError("an upgrade needs HTTP/1.1")
        return event


def _lower(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    return ((name, value.lower()) for name, value in headers)


def websocket_scope(request: Request, transport: asyncio.Transport, config: Config) -> dict[str, Any]:
    """The ASGI scope of a WebSocket request (asgiref 3, specs/www.rst, "WebSocket Connection Scope"), without
    the application's state and extensions."""
    path, _, query = request.path.partition("?")
    protocols = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    # `surrogateescape`: how websockets before 17 marks non-ASCII bytes.
    headers = [
        (name.encode().lower(), value.encode("latin-1", "surrogateescape"))
        for name, value in request.headers.raw_items()
    ]
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(path),
        "raw_path": (config.root_path + path).encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": headers,
        "subprotocols": [name.strip() for name in protocols.split(",") if name.strip()],
    }
