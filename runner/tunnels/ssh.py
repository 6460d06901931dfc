"""Remote forwarding over SSH: a port of your host leads here; its web server terminates TLS."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

from runner.tunnels.base import TunnelError

logger = logging.getLogger(__name__)

OPEN_S = 15.0
KEEPALIVE_S = 10.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class SshTunnel:
    """A forwarded port. It is reopened when the connection breaks.

    Args:
        via: ssh://user@host[:port]/PORT.
        public: the origin that leads to that PORT.
        options: for `asyncssh.connect`; by default, keys and known hosts are those of `~/.ssh`.
    """

    name = "ssh"

    def __init__(self, via: str, public: str, **options: Any) -> None:
        parts = urlsplit(via)
        self._host = parts.hostname or ""
        self._port = parts.port or 22
        self._user = parts.username
        self._remote_port = int(parts.path.strip("/") or 0)
        self._public = public
        self._options = options
        self._connection: Any = None
        self._keeping: asyncio.Task[None] | None = None

    async def open(self, port: int) -> str:
        await self._connect(port)
        self._keeping = asyncio.create_task(self._keep(port), name="ssh tunnel")
        return self._public

    async def aclose(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait({keeping})
        await self._disconnect()

    async def _connect(self, port: int) -> None:
        import asyncssh

        user = {"username": self._user} if self._user else {}
        try:
            async with asyncio.timeout(OPEN_S):
                self._connection = await asyncssh.connect(
                    self._host, self._port, keepalive_interval=KEEPALIVE_S, **user, **self._options
                )
                await self._connection.forward_remote_port("", self._remote_port, "127.0.0.1", port)
        except TimeoutError:
            raise TunnelError(f"{self._host} did not answer within {OPEN_S:g} s") from None
        except (OSError, asyncssh.Error) as error:
            await self._disconnect()
            raise TunnelError(f"SSH tunnel through {self._host} failed: {_reason(error)}") from None

    async def _keep(self, port: int) -> None:
        pause_s = SHORTEST_PAUSE_S
        while True:
            await self._connection.wait_closed()
            logger.warning("SSH tunnel through %s broke; reconnecting", self._host)
            while True:
                await asyncio.sleep(pause_s)
                try:
                    await self._connect(port)
                except TunnelError as error:
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    logger.warning("%s; retrying in %g s", error, pause_s)
                else:
                    pause_s = SHORTEST_PAUSE_S
                    logger.info("SSH tunnel through %s reconnected", self._host)
                    break

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            await connection.wait_closed()


def _reason(error: Exception) -> str:
    text = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
    return str(text)[:200] or type(error).__name__
