"""Receives connections that the supervisor has accepted (`supervisor/dispatch.py`).

A Unix socket carries one message per connection: a byte for the port, and the file descriptor (SCM_RIGHTS).
The supervisor closes it when no more will come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from runner.server.wire.uvicorn_server import Server

logger = logging.getLogger(__name__)

NAME = "accept.sock"
MAIN, PUBLIC = b"m", b"p"


class HandedConnections:
    """The worker's end of the socket.

    Args:
        folder: the run's folder, with the supervisor's socket.
        worker: the id of this worker.
        servers: the servers by port.
    """

    def __init__(self, folder: Path, worker: str, servers: Mapping[bytes, Server]) -> None:
        self._path = folder / NAME
        self._worker = worker
        self._servers = servers
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Serve connections while the block runs. Raises `OSError` if the supervisor has ended."""
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._end:
            self._end.connect(str(self._path))
            self._end.setblocking(False)
            self._end.send(self._worker.encode())
            self._loop.add_reader(self._end, self._read)
            try:
                yield
            finally:
                self._stop()

    def _read(self) -> None:
        while True:
            try:
                port, files, _, _ = socket.recv_fds(self._end, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                port, files = b"", []
            if not port:
                self._stop()
                return
            for fd in files:
                self._take(port, socket.socket(fileno=fd))

    def _take(self, port: bytes, connection: socket.socket) -> None:
        server = self._servers.get(port)
        if server is None:
            connection.close()
            return
        task = self._loop.create_task(self._adopt(server, connection), name="handed connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adopt(self, server: Server, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await server.adopt(connection)
        except OSError as error:  # the client has disconnected, or its TLS handshake failed
            logger.debug("a connection ended before it was served: %s", error)
            connection.close()

    def _stop(self) -> None:
        self._loop.remove_reader(self._end)
        self.closed.set()
