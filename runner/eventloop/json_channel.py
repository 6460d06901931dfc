"""JSON objects, one per line, over a stream socket: how the processes of a run speak with each other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

LINE_LIMIT_BYTES = 64 << 20
"""A conversation with pictures in it is large."""


class Channel:
    """One end. What is sent to an end that is gone goes nowhere: its own end of `messages` tells of that."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """The end of a connected pair of sockets."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LINE_LIMIT_BYTES))

    @classmethod
    async def to(cls, path: str) -> Channel:
        """Connect to a Unix socket. Raises `OSError`."""
        return cls(*await asyncio.open_unix_connection(path, limit=LINE_LIMIT_BYTES))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send; what JSON cannot carry is a mistake of the caller's."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is gone."""
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):  # ValueError: longer than the limit
            return None
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """All messages, until the other end is gone."""
        while (message := await self.receive()) is not None:
            yield message

    async def flush(self) -> None:
        """Wait until the other end can have all that was sent."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def aclose(self) -> None:
        """Close this end."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
