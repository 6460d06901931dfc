"""Forwards requests and sockets for a call that another worker of this run has (plain ASGI).

`ForwardToOwner` forwards them to that worker's Unix socket, where `InternalApp` handles them. Ids are read
from `/sessions/{id}/…`, `/ws-client/{token}`, `/ws-client?token=` and the body of `/api/offer` ("pc_id").

`Rejoining` finds the call of a further socket: Exotel opens a second one, and a plain client reconnects with
its token. Only the start message names the call, so the socket is forwarded after that message is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, parse_qsl

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from runner.errors import ProtocolError
from runner.serializers.handshake import CallInfo
from runner.server.access import answer, values_of
from runner.server.handover.other_workers import AGAIN_PATH, CLIENT, FIGURES_PATH, KNOWS_PATH, PASSED
from runner.server.host import Host
from runner.server.wire.websocket_protocol import POLICY_VIOLATION, close
from runner.transports.websocket import read_handshake
from runner.transports.websocket.socket import CallWebSocket

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

RESUME_S = {"websocket": 10.0, "exotel": 2.0}
"""Time (s) to wait for a new socket after one is lost. Exotel opens a second one for the same call, once
(PROTOCOLS.md §4); a plain client reconnects with its token."""

HEARD = "botrun.heard"
"""Key in a socket's scope: the messages of its handshake, unchanged."""


def key_of(info: CallInfo) -> str:
    """A provider call's key in `Host.calls`."""
    return f"{info.provider}:{info.call_id or info.stream_id}"


class Rejoining:
    """Finds the calls that further sockets belong to."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def is_under_way(self, info: CallInfo) -> bool:
        """Whether this call has a socket here already."""
        return key_of(info) in self._host.calls

    def call_of(self, info: CallInfo) -> CallWebSocket | None:
        """The call that continues on this socket; None if the socket is for a new call."""
        known = self._host.calls.get(key_of(info))
        return known if info.provider in RESUME_S else None

    async def elsewhere(self, info: CallInfo) -> Path | None:
        """The other worker that has this call; None if there is none or the call is new."""
        other_workers = self._host.other_workers
        if other_workers is None or info.provider not in RESUME_S or self.is_under_way(info):
            return None
        return await other_workers.owner([key_of(info)])

    async def pass_on(self, owner: Path, websocket: WebSocket) -> None:
        """Forward an accepted socket, whose handshake was read, to the worker that has its call."""
        from runner.server.forwarding.proxy import pass_accepted

        task = asyncio.current_task()
        assert task is not None
        self._host.forwarded.add(task)
        try:
            await pass_accepted(owner, AGAIN_PATH, websocket, websocket.scope[HEARD])
        finally:
            self._host.forwarded.discard(task)


async def go_on(known: CallWebSocket, websocket: WebSocket, provider: str = "") -> None:
    """Continue the call on this socket; returns when it is over, or continues on another one."""
    if provider:
        logger.info("%s opened a second socket for its call; continuing there", provider)
    known.rejoin(websocket)
    await known.until_done(websocket)


async def rejoin_here(host: Host, websocket: WebSocket) -> None:
    """A further socket of this worker's call, forwarded by a newer worker that has checked it."""
    await websocket.accept()
    with contextlib.suppress(ProtocolError):
        info = await read_handshake(websocket)
        if (known := host.calls.get(key_of(info))) is not None:
            await go_on(known, websocket, info.provider)
            return
    await close(websocket, POLICY_VIOLATION, "the call is over")


class ForwardToOwner:
    """Forwards requests for another worker's call, after the access checks and the body limit."""

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        other_workers = self._host.other_workers
        if other_workers is None or scope.get(PASSED) or not _may_name_a_call(scope):
            await self._app(scope, receive, send)
            return
        body = b""
        if scope["type"] == "http":
            try:
                body = await _whole(receive)
            except HTTPException as error:
                await answer(send, error.status_code, error.detail)
                return
            receive = _again(body, receive)
        names = _names(scope, body)
        if not names or self._host.knows_call(names) or (owner := await other_workers.owner(names)) is None:
            await self._app(scope, receive, send)
        else:
            from runner.server.forwarding.proxy import pass_request, pass_socket

            if scope["type"] == "http":
                if not await pass_request(owner, scope, body, send):
                    await self._app(scope, _again(body, receive), send)
            else:
                await pass_socket(owner, scope, receive, send)


def _may_name_a_call(scope: Scope) -> bool:
    if scope["type"] not in {"http", "websocket"}:
        return False
    path: str = scope["path"]
    return path == "/api/offer" or path.startswith(("/sessions/", "/ws-client"))


def _names(scope: Scope, body: bytes) -> list[str]:
    """The ids in a request."""
    parts = scope["path"].split("/")
    names = parts[2:3] if parts[1] != "api" else []
    if parts[1] == "ws-client":
        names += parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
    if body:
        with contextlib.suppress(ValueError, RecursionError):
            asked = json.loads(body)
            if isinstance(asked, dict) and isinstance(asked.get("pc_id"), str):
                names.append(asked["pc_id"])
    # A longer text is not an id, and would not fit into a request line.
    return [name for name in names if 0 < len(name) <= 200]


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body that has already been read."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class InternalApp:
    """The application for requests forwarded by another worker; it also says whether a call is known here.

    A forwarded request goes through the same access checks again, with its original client.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == KNOWS_PATH:
            query = parse_qsl(scope["query_string"].decode("latin-1"))
            known = self._host.knows_call([value for name, value in query if name == "id"])
            await answer(send, 200 if known else 404, "it is here" if known else "it is not here")
            return
        if scope["path"] == FIGURES_PATH:
            await _answer_json(send, self._host.run_totals.own())
            return
        if scope["path"] == AGAIN_PATH and scope["type"] == "websocket":
            await rejoin_here(self._host, WebSocket(scope, receive, send))
            return
        await self._app(_restored(scope), receive, send)


def _restored(scope: Scope) -> Scope:
    clients = values_of(scope["headers"], CLIENT)
    address, port, scheme = (clients[0].split(" ") if clients else ["", "0", scope["scheme"]])[:3]
    headers = [pair for pair in scope["headers"] if pair[0] != CLIENT.encode()]
    client = (address, int(port)) if address else None
    return {**scope, "client": client, "scheme": scheme, "headers": headers, PASSED: True}


async def _answer_json(send: Send, value: object) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
