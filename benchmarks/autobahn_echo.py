"""An echo server for the Autobahn fuzzing client, on botrun's WebSocket server.

    python benchmarks/autobahn_echo.py asgi|direct PORT

`asgi` echoes by ASGI's `receive` and `send`, `direct` by the way that phone calls use (docs/reliability.md).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from typing import Any

from runner.server.wire import uvicorn_server
from runner.transports.websocket.socket import DIRECT

MESSAGE_LIMIT_BYTES = 20 * 1024 * 1024
"""Autobahn's largest message has 16 MiB; botrun's own limit is 256 KiB."""

RETRY_S = 0.002


async def app(scope: Any, receive: Any, send: Any) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    echo = echo_direct(scope["extensions"][DIRECT]["socket"]) if way == "direct" else echo_asgi(receive, send)
    await echo


async def echo_asgi(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        kept = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
        await send({"type": "websocket.send", **kept})


async def echo_direct(connection: Any) -> None:
    over = asyncio.get_running_loop().create_future()
    waiting: deque[str | bytes] = deque()

    def send() -> None:
        while waiting and connection.try_send(lambda: waiting[0]):
            waiting.popleft()

    def take(message: str | bytes) -> None:
        waiting.append(message)
        send()

    connection.subscribe(take, lambda code, reason: over.done() or over.set_result(code))
    while not over.done():
        send()  # what the client was too slow for
        await asyncio.wait([over], timeout=RETRY_S)
    connection.unsubscribe()


async def main(port: int) -> None:
    uvicorn_server.MESSAGE_LIMIT_BYTES = MESSAGE_LIMIT_BYTES
    listener = socket.create_server(("127.0.0.1", port))
    async with uvicorn_server.Server(app).serving(listener, 1.0):
        print("up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    way = sys.argv[1]
    asyncio.run(main(int(sys.argv[2])))
