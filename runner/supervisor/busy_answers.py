"""While no worker accepts, the supervisor answers at its ports that the line is busy.

Otherwise requests would wait in the listening socket's queue, and a carrier's caller in silence. The answer
is the same for everybody, so no signature is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Sequence

from runner.providers import PROVIDERS, provider_class
from runner.providers.webhooks import Document

HEAD_LIMIT_BYTES = 16 * 1024
ANSWER_S = 5.0
MOST_CONNECTIONS = 64

_ANSWER_PATH = re.compile(rb"(?:GET|POST) /(\w+)/answer[ ?]")
_BUSY = Document("busy: the bot is being restarted\n", "text/plain; charset=utf-8", 503)


class BusyAnswers:
    """Answers on these ports between `start` and `stop`."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = listeners
        self._servers: list[asyncio.Server] = []
        self._open = 0

    async def start(self) -> None:
        """Answer until `stop`; a worker that accepts meanwhile may get a request just as well."""
        if not self._servers:
            self._servers = [
                await asyncio.start_server(self._serve, sock=listener.dup(), limit=HEAD_LIMIT_BYTES)
                for listener in self._listeners
            ]

    def stop(self) -> None:
        """A worker accepts."""
        for server in self._servers:
            server.close()
        self._servers = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                async with asyncio.timeout(ANSWER_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_response(busy_answer(head)))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def busy_answer(head: bytes) -> Document:
    """What a request with this head is answered: the carrier's own word for busy, or status 503."""
    found = _ANSWER_PATH.match(head)
    name = found[1].decode() if found else ""
    if name not in PROVIDERS:
        return _BUSY
    kind = provider_class(name)
    return kind(dict.fromkeys(kind.all_keys(), "unused")).busy()


def _response(document: Document) -> bytes:
    body = document.text.encode()
    head = (
        f"HTTP/1.1 {document.status} {'OK' if document.status == 200 else 'Service Unavailable'}\r\n"
        f"Content-Type: {document.media_type}\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 2\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
