"""The caller's connections to a bot: the media socket, and the RTVI events beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, WebSocketException

from runner.errors import TransportError
from runner.rtvi.messages import LABEL, VERSION
from runner.server.access import is_loopback, key_headers
from runner.server.endpoints.call_events import NO_SUCH_CALL
from runner.server.handover.peers import HEADER, MOVES, WAITS
from runner.server.wire.tls import trust_for
from runner.transports.websocket.socket import MOVED

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0


class Socket(Protocol):
    """The part of a `websockets` connection that the phone uses."""

    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str | None: ...
    async def send(self, message: str | bytes) -> None: ...
    def __aiter__(self) -> AsyncIterator[str | bytes]: ...
    async def close(self) -> None: ...


async def dial_network(url: str, *, waits: bool = False) -> ClientConnection:
    """Connect over the network. `waits`: the user is present and can fix a bot that fails.

    Raises `TransportError` if the connection fails.
    """
    try:
        return await connect(
            url,
            additional_headers={**key_headers(url), HEADER: WAITS if waits else MOVES},
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=1 << 22,
            ssl=trust_for(url),
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        )
    except InvalidURI:
        raise TransportError(f"{url} is not a WebSocket address (ws://…)") from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        # asyncio's message for a refused connection repeats the address.
        reason = "nothing listens there" if isinstance(error, ConnectionRefusedError) else error
        raise TransportError(f"cannot connect to {url}: {reason}") from None


TRIES, RETRY_S = 40, 0.05
"""Retries until the bot knows the call: its handshake may not have finished."""

OnMessage = Callable[[str, dict[str, Any]], None]


class SideChannel:
    """Follows one call's RTVI events.

    Args:
        phone_url: URL that the phone rings; only calls of a botrun on this machine can be followed.
        call_id: the provider's id of the call.
        on_message: called with the type and the data of each message.

    Attributes:
        open: whether the call is followed, or was until its end.
        opening: whether it is still connecting.
        live: whether messages reach the bot now.
    """

    def __init__(self, phone_url: str, call_id: str, on_message: OnMessage) -> None:
        self._url = events_url(phone_url, call_id)
        self._on_message = on_message
        self._socket: ClientConnection | None = None
        self.open = self.live = self.opening = False

    async def run(self) -> None:
        """Follow the call to its end; returns at once if it cannot be followed."""
        if self._url is None:
            return
        self.opening = True
        try:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                for _ in range(TRIES):
                    if await self._follow():
                        return
                    await asyncio.sleep(RETRY_S)
        finally:
            self.opening = False

    async def _follow(self) -> bool:
        """Follow until the connection closes; False to retry: no such call yet, or it moved to new code."""
        assert self._url is not None
        headers = key_headers(self._url)
        async with connect(
            self._url,
            additional_headers=headers,
            ssl=trust_for(self._url),
            compression=None,
            ping_interval=None,
            proxy=None,
        ) as socket:
            self._socket = socket
            await self.send("client-ready", {"version": VERSION, "about": {"library": "botrun-phone"}})
            try:
                async for text in socket:
                    self.open, self.live, self.opening = True, True, False
                    self._take(text)
            except ConnectionClosed:
                pass
            self._socket, self.live = None, False
            return socket.close_code not in (NO_SUCH_CALL, MOVED)

    async def send(self, kind: str, data: dict[str, Any]) -> bool:
        """Send an RTVI message; False if the call is not followed."""
        if self._socket is None:
            return False
        message = {"label": LABEL, "type": kind, "id": kind, "data": data}
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(json.dumps(message))
            return True
        return False

    def _take(self, text: str | bytes) -> None:
        message = json.loads(text)
        if isinstance(message, dict) and message.get("label") == LABEL:
            data = message.get("data")
            self._on_message(str(message.get("type")), data if isinstance(data, dict) else {})


def events_url(phone_url: str, call_id: str) -> str | None:
    """URL of a call's events; None if the bot is on another machine."""
    parts = urlsplit(phone_url)
    if not is_loopback(parts.hostname or "") or parts.scheme not in {"ws", "wss"}:
        return None
    return urlunsplit(parts._replace(path=f"/sessions/{quote(call_id, safe='')}/events", query=""))
