"""`WS /sessions/{call}/events`: the events of a call as RTVI messages.

A provider's media socket has only sound; here the local phone gets what the bot says and understands. `call`
is the session's id or the provider's call id. Only this machine can connect, whatever address the server
listens on.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.eventloop.waiting import first_of
from runner.server.access import LocalOnly
from runner.transports.session_port import AppChannel, SessionPort
from runner.transports.websocket.socket import MOVED, CallWebSocket

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from runner.server.host import Host

NO_SUCH_CALL, TAKEN = 4404, 4409


def events_route(host: Host) -> WebSocketRoute:
    """The route, with its own check that admits only this machine."""
    return WebSocketRoute("/sessions/{call}/events", LocalOnly(_Events(host), loopback_only=True))


class _Events:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        found = self._find(websocket.path_params["call"])
        if found is None:
            await websocket.close(NO_SUCH_CALL, "no such call is active")
        elif not found[1].app.attach(websocket.send_json):
            await websocket.close(TAKEN, "another client is already connected")
        else:
            await self._serve(websocket, *found)

    def _find(self, name: str) -> tuple[CallWebSocket, SessionPort] | None:
        for session in self._host.sessions.active.values():
            socket = getattr(session.args, "websocket", None)
            known = (session.id, getattr(session.args, "call_id", ""))
            if isinstance(socket, CallWebSocket) and name in known:
                return socket, session.port
        return None

    async def _serve(self, websocket: WebSocket, call: CallWebSocket, port: SessionPort) -> None:
        try:
            await first_of(self._read(websocket, port.app), call.left.wait())
            if websocket.client_state is WebSocketState.CONNECTED:
                with contextlib.suppress(WebSocketDisconnect):  # the connection is lost already
                    await websocket.close(MOVED if port.moved else 1000, "the call is over")
        finally:
            port.app.detach()

    async def _read(self, websocket: WebSocket, app: AppChannel) -> None:
        while True:
            try:
                message: Any = await websocket.receive_json()
            except WebSocketDisconnect:
                return
            except (json.JSONDecodeError, KeyError):
                continue
            app.from_app(message)
