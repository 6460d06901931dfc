"""HTTP connections under uvicorn, on which a request has to be whole in time.

uvicorn has a limit for the time between two requests only; a client that sends a byte now and then would keep
its connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""How long (s) a request may take, head and body, from its first byte; the first one, from the connection."""


class HttpProtocol(H11Protocol):
    """uvicorn's, with a deadline for each request. Once upgraded, a connection is another protocol's."""

    def __init__(self, *args: Any, request_s: float = REQUEST_S, **more: Any) -> None:
        super().__init__(*args, **more)
        self._request_s = request_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # h11's words for a request of which a part is still to come.
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and self.transport.get_protocol() is self:
            self._expect_more()
        else:
            self._expect_nothing()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP. In the middle of a request uvicorn would answer twice: who is at it learns
        that nobody listens any more."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _expect_more(self) -> None:
        if self._deadline is None:
            # Aborted, for under TLS a goodbye would wait for theirs.
            self._deadline = self.loop.call_later(self._request_s, self.transport.abort)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
