"""Forward one request, or one WebSocket, to the worker that has its call."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from runner.eventloop.waiting import first_of
from runner.server.access import answer, values_of
from runner.server.handover.other_workers import CLIENT, MOVED_STATUS

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocket

PASS_S = 10.0
LIMIT_BYTES = 1 << 20
GONE = "the call's worker has just ended, and the call with it"

_HOP = ("connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", CLIENT)


async def pass_request(owner: Path, scope: Scope, body: bytes, send: Send) -> bool:
    """Forward a request and send back the response; 410 if the worker has ended.

    Returns False, without a response, if the call has just moved to this worker.
    """
    transport = httpx2.AsyncHTTPTransport(uds=str(owner))
    url = f"http://localhost{_target(scope)}"
    try:
        async with httpx2.AsyncClient(transport=transport, timeout=PASS_S, trust_env=False) as client:
            reply = await client.request(scope["method"], url, content=body, headers=_headers(scope))
    except httpx2.HTTPError:
        await answer(send, 410, GONE)
        return True
    if reply.status_code == MOVED_STATUS:
        return False
    headers = [
        (b"content-type", reply.headers.get("content-type", "application/json").encode()),
        (b"content-length", str(len(reply.content)).encode()),
    ]
    await send({"type": "http.response.start", "status": reply.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": reply.content})
    return True


async def pass_socket(owner: Path, scope: Scope, receive: Receive, send: Send) -> None:
    """Connect to the worker and forward messages in both directions until one side closes."""
    await receive()
    host = values_of(scope["headers"], "host")[0]
    headers = [pair for pair in _headers(scope) if pair[0] != "host" and not pair[0].startswith("sec-")]
    try:
        there = await _connect(
            owner,
            f"ws://{host}{_target(scope)}",
            additional_headers=headers,
            subprotocols=scope["subprotocols"] or None,
        )
    except (OSError, TimeoutError, InvalidHandshake):
        await send({"type": "websocket.close", "code": 1008, "reason": GONE})
        return
    async with there:
        await send({"type": "websocket.accept", "subprotocol": there.subprotocol})
        await _carry(there, receive, send)


async def pass_accepted(owner: Path, path: str, websocket: WebSocket, heard: Sequence[str | bytes]) -> None:
    """The same for an accepted socket of which the messages `heard` have been read."""
    try:
        there = await _connect(owner, f"ws://localhost{path}")
    except (OSError, TimeoutError, InvalidHandshake):
        await websocket.close(1008, GONE)
        return
    async with there:
        for message in heard:
            await there.send(message)
        await _carry(there, websocket.receive, websocket.send)


async def _connect(owner: Path, url: str, **more: Any) -> ClientConnection:
    return await unix_connect(
        str(owner),
        url,
        user_agent_header=None,
        compression=None,
        ping_interval=None,
        max_size=LIMIT_BYTES,
        open_timeout=PASS_S,
        close_timeout=1.0,
        **more,
    )


async def _carry(there: ClientConnection, receive: Receive, send: Send) -> None:
    with contextlib.suppress(OSError, ConnectionClosed):
        await first_of(_carry_there(there, receive), _carry_back(there, send))


async def _carry_there(there: ClientConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        await there.send(text if text is not None else message["bytes"])
    code = message.get("code") or 1000
    # 1005 and 1006 mean a close without a code, and must not be sent (RFC 6455 7.4.1).
    await there.close(1001 if code in {1005, 1006} else code, message.get("reason") or "")


async def _carry_back(there: ClientConnection, send: Send) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = await there.recv()
            kind = "text" if isinstance(message, str) else "bytes"
            await send({"type": "websocket.send", kind: message})
    code, reason = there.close_code or 1000, there.close_reason or ""
    await send({"type": "websocket.close", "code": 1011 if code in {1005, 1006} else code, "reason": reason})


def _target(scope: Scope) -> str:
    path: str = (scope.get("raw_path") or scope["path"].encode()).decode("ascii")
    query = scope["query_string"].decode("latin-1")
    return path + (f"?{query}" if query else "")


def _headers(scope: Scope) -> list[tuple[str, str]]:
    """The request's headers, and its client."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    client: Any = scope.get("client") or ("", 0)
    sender = f"{client[0]} {client[1]} {scope['scheme']}"
    return [*((name, value) for name, value in pairs if name not in _HOP), (CLIENT, sender)]
