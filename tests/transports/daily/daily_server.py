"""Daily's REST interface, from the fact sheet alone (PROTOCOLS.md §5), with faults on order.

Strict: the right key, rooms that exist, tokens that name their room and end; everything else is refused as
Daily would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.server.wire.uvicorn_server import Server

KEY = "canary-daily-key"
DOMAIN = "https://house.daily.co"


@dataclass
class Asked:
    """One request, and how it was answered."""

    method: str
    path: str
    fields: dict[str, Any]
    status: int


def refused(status: int, kind: str, info: str) -> JSONResponse:
    return JSONResponse({"error": kind, "info": info}, status)


@dataclass
class DailyServer:
    """`faults` meet the next requests: "401", "429", "500", "hang", "garbage" (200 with no JSON in it),
    "drop" (the connection breaks), "slow",
    "late" (it is done, but the answer is lost), "ok"."""

    url: str = ""
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    connected: list[dict[str, Any]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)

    async def handle(self, request: Request) -> Response:
        raw = await request.body()
        result = json.loads(raw) if raw else {}
        answer = await self._answer(request, result)
        self.asked.append(Asked(request.method, request.scope["path"], result, answer.status_code))
        return answer

    async def _answer(self, request: Request, fields: dict[str, Any]) -> Response:
        late = False
        if self.faults:
            match self.faults.popleft():
                case "hang":
                    await asyncio.sleep(30)
                case "garbage":
                    return Response(b"\x00<html>not json", 200)
                case "drop":
                    request.scope["transport"] = None
                    raise ConnectionError
                case "401":
                    return refused(401, "authentication-error", f"no such key {KEY}")
                case "429":
                    return refused(429, "rate-limit-error", "slow down")
                case "500":
                    return refused(500, "server-error", "oops")
                case "slow":
                    await asyncio.sleep(1.5)
                case "late":
                    late = True
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refused(400, "authorization-header-error", "missing or malformed")
        answer = self._do(request.method, request.scope["path"], fields)
        return refused(500, "server-error", "lost") if late else answer

    def _do(self, method: str, path: str, fields: dict[str, Any]) -> Response:
        match method, path.strip("/").split("/"):
            case "POST", ["rooms"]:
                return self._create(fields)
            case "GET", ["rooms"]:
                return JSONResponse({"total_count": len(self.rooms), "data": []})
            case "GET", ["rooms", name] if name in self.rooms:
                return JSONResponse(self.rooms[name])
            case "DELETE", ["rooms", name] if name in self.rooms:
                del self.rooms[name]
                return JSONResponse({"deleted": True, "name": name})
            case "POST", ["meeting-tokens"]:
                return self._token(fields)
            case "POST", ["dialin", "pinlessCallUpdate"]:
                self.connected.append(fields)
                return JSONResponse({"ok": "true"})
        return refused(404, "not-found", "no such thing")

    def _create(self, fields: dict[str, Any]) -> Response:
        name, properties = fields["name"], fields["properties"]
        if name in self.rooms:
            return refused(400, "invalid-request-error", f"a room named {name} already exists")
        if not isinstance(properties.get("exp"), int):
            return refused(400, "invalid-request-error", "exp must be integer seconds")
        config = dict(properties)
        if "sip" in properties:
            config["sip_uri"] = {"endpoint": f"123-456@{name}.sip.daily.co"}
        self.rooms[name] = {
            "id": f"id-{name}",
            "name": name,
            "privacy": fields["privacy"],
            "url": f"{DOMAIN}/{name}",
            "config": config,
        }
        self.made.append(name)
        return JSONResponse(self.rooms[name])

    def _token(self, fields: dict[str, Any]) -> Response:
        properties = fields["properties"]
        if not isinstance(properties.get("exp"), int) or "room_name" not in properties:
            return refused(400, "invalid-request-error", "the tests want exp and room_name")
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = properties
        return JSONResponse({"token": token})


@contextlib.asynccontextmanager
async def daily_server() -> AsyncIterator[DailyServer]:
    """The interface on loopback."""
    server = DailyServer()
    methods = ["GET", "POST", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", server.handle, methods=methods)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Server(app).serving(listener, 0.1):
            yield server
