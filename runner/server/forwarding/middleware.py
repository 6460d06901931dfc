"""Requests for a call that another worker of this run has (plain ASGI).

`ForwardToOwner` passes them on to that worker's Unix socket; `InternalApp` is what a worker answers there.
Ids are looked for in `/sessions/{id}/…`, in `/ws-client/{token}` and in the body of `/api/offer` ("pc_id").
"""

from __future__ import annotations

import contextlib
import json
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from runner.server.access.local_only import answer, values_of
from runner.server.forwarding.rejoin import rejoin_here
from runner.server.handover.other_workers import AGAIN_PATH, CLIENT, FIGURES_PATH, KNOWS_PATH, PASSED
from runner.server.host import Host


class ForwardToOwner:
    """Passes on what belongs to another worker's call. Behind the doors, and behind the limit for bodies."""

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
    return path == "/api/offer" or path.startswith(("/sessions/", "/ws-client/"))


def _names(scope: Scope, body: bytes) -> list[str]:
    """The ids that a request names."""
    parts = scope["path"].split("/")
    names = parts[2:3] if parts[1] != "api" else []
    if body:
        with contextlib.suppress(ValueError, RecursionError):
            asked = json.loads(body)
            if isinstance(asked, dict) and isinstance(asked.get("pc_id"), str):
                names.append(asked["pc_id"])
    # A longer one is nobody's, and would not fit into a request's first line.
    return [name for name in names if 0 < len(name) <= 200]


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive`, with the body that has been read."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class InternalApp:
    """The application, for requests that a sibling has passed on; and whether a call is known here.

    What is passed on meets the same doors again, with the client that it came from.
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
    told = values_of(scope["headers"], CLIENT)
    address, port, scheme = (told[0].split(" ") if told else ["", "0", scope["scheme"]])[:3]
    headers = [pair for pair in scope["headers"] if pair[0] != CLIENT.encode()]
    client = (address, int(port)) if address else None
    return {**scope, "client": client, "scheme": scheme, "headers": headers, PASSED: True}


async def _answer_json(send: Send, value: object) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
