"""How a socket is closed from our side."""

from __future__ import annotations

import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

logger = logging.getLogger(__name__)

POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013
"""RFC 6455, 7.4.1, and the registry it opened."""


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close it, unless it is closed already."""
    try:
        await websocket.close(code, reason[:120])
    except (RuntimeError, WebSocketDisconnect):
        logger.debug("the socket was closed already")
