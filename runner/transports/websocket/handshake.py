"""The first messages of a provider's media socket, read under a deadline."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from runner.errors import ProtocolError
from runner.serializers.handshake import CallInfo, Handshake
from runner.transports.websocket.socket import CallWebSocket

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

DEADLINE_S = 5.0
"""How long (s) a socket may be open without its start message."""

_read: weakref.WeakKeyDictionary[WebSocket, CallInfo] = weakref.WeakKeyDictionary()


async def read_handshake(
    websocket: WebSocket, deadline_s: float = DEADLINE_S, *, heard: list[str | bytes] | None = None
) -> CallInfo:
    """Read up to and with the start message; the messages are added to `heard`.

    Raises:
        ProtocolError: it did not come in time, or is none of a known provider.
    """
    handshake = Handshake()
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    raise ProtocolError("the socket was closed before its start message")
                content = message.get("text") or message.get("bytes") or ""
                if heard is not None:
                    heard.append(content)
                result = handshake.feed(content)
                if result is not None:
                    return result
    except TimeoutError:
        raise ProtocolError(f"no start message came within {deadline_s:g} s") from None
    except WebSocketDisconnect:
        raise ProtocolError("the socket was closed before its start message") from None


async def parse_telephony_websocket(websocket: WebSocket) -> tuple[str, CallInfo]:
    """The provider's name ("websocket" for a plain client) and what its handshake says of the call.

    On a socket that botrun has accepted this is known already. On a socket of your own the first messages
    are read, under a deadline; a second call returns the same.

    Raises:
        ProtocolError: the socket is not one of a known provider.
    """
    if isinstance(websocket, CallWebSocket):
        call = websocket.call
    elif websocket in _read:
        call = _read[websocket]
    else:
        call = _read[websocket] = await read_handshake(websocket)
    return call.provider, call
