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
"""Time (s) within which the start message must come."""

_read: weakref.WeakKeyDictionary[WebSocket, CallInfo] = weakref.WeakKeyDictionary()


async def read_handshake(
    websocket: WebSocket, deadline_s: float = DEADLINE_S, *, heard: list[str | bytes] | None = None
) -> CallInfo:
    """Read messages up to the start message, and append them to `heard`.

    Raises:
        ProtocolError: it did not come in time, or is not a known provider's.
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
    """The provider's name ("websocket" for a plain client) and the data of its handshake.

    botrun has already read the handshake of sockets that it accepted. On your own socket, the first
    messages are read with a deadline; a second call returns the same.

    Raises:
        ProtocolError: no start message came, or it is not a known provider's.
    """
    if isinstance(websocket, CallWebSocket):
        call = websocket.call
    elif websocket in _read:
        call = _read[websocket]
    else:
        call = _read[websocket] = await read_handshake(websocket)
    return call.provider, call
