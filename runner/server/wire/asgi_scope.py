"""What ASGI tells of a WebSocket request (asgiref 3, specs/www.rst, "WebSocket Connection Scope")."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from websockets.http11 import Request

if TYPE_CHECKING:
    from uvicorn import Config


def asgi_scope(request: Request, transport: asyncio.Transport, config: Config) -> dict[str, Any]:
    """The scope, but for the application's state and extensions."""
    path, _, query = request.path.partition("?")
    protocols = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(path),
        "raw_path": (config.root_path + path).encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": _headers(request),
        "subprotocols": [name.strip() for name in protocols.split(",") if name.strip()],
    }


def _headers(request: Request) -> list[tuple[bytes, bytes]]:
    # `surrogateescape`: websockets before 17 marks so what is not ASCII.
    return [
        (name.encode().lower(), value.encode("latin-1", "surrogateescape"))
        for name, value in request.headers.raw_items()
    ]
