"""JSON objects, one per line, over a stream socket: how the processes of a run communicate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

LINE_LIMIT_BYTES = 64 << 20
"""A conversation with images in it is large."""


class Channel:
    """One end. After the other end has closed, `send` drops its messages and `messages` ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """A channel over one end of a connected pair of sockets."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LINE_LIMIT_BYTES))

    @classmethod
    async def to(cls, path: str) -> Channel:
        """Connect to a Unix socket. Raises `OSError`."""
        return cls(*await asyncio.open_unix_connection(path, limit=LINE_LIMIT_BYTES))

    def send(self, message: Mapping[str, Any]) -> None:
        """Send an object. Raises `TypeError` if JSON cannot represent it."""
        self.send_line(encode(message))

    def send_line(self, line: bytes) -> None:
        """Send an encoded line, newline included."""
        if not self._writer.is_closing():
            self._writer.write(line)

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None once the other end has closed."""
        line = await self._line()
        if line is None:
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def lines(self) -> AsyncIterator[bytes]:
        """All lines, undecoded, until the other end closes."""
        while (line := await self._line()) is not None:
            yield line

    async def _line(self) -> bytes | None:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):  # ValueError: longer than the limit
            return None
        return line if line.endswith(b"\n") else None

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """All messages, until the other end closes."""
        while (message := await self.receive()) is not None:
            yield message

    async def flush(self) -> None:
        """Wait while the write buffer is over its limit."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    async def aclose(self) -> None:
        """Close this end."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class LineWriter:
    """Sends lines, and open files with them, on a non-blocking socket; queues what the socket cannot take.

    The owner calls `flush` when the socket is writable again, until `pending` is False.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lines: deque[tuple[bytes, int | None]] = deque()

    @property
    def pending(self) -> bool:
        """Whether lines are queued."""
        return bool(self._lines)

    def send(self, line: bytes, fd: int | None = None) -> None:
        """Send a line, now or later. An open file is duplicated: the caller may close its own.

        Raises:
            OSError: the other end has closed.
        """
        self._lines.append((line, None if fd is None else os.dup(fd)))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes. Raises `OSError` if the other end has closed."""
        while self._lines:
            line, fd = self._lines[0]
            try:
                sent = self._end.send(line) if fd is None else socket.send_fds(self._end, [line], [fd])
            except BlockingIOError:
                return
            # The file was sent with the first byte.
            self._lines[0] = line[sent:], None
            if fd is not None:
                os.close(fd)
            if sent == len(line):
                self._lines.popleft()

    def close(self) -> None:
        """Drop the queued lines."""
        for _, fd in self._lines:
            if fd is not None:
                os.close(fd)
        self._lines.clear()


def encode(message: Mapping[str, Any]) -> bytes:
    """The message as one line."""
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
