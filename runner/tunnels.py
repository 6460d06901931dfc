"""Tunnels from a public address to a port of this machine: ngrok, and remote forwarding over SSH."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import urlsplit

from runner.errors import MissingPackageError, TransportError

logger = logging.getLogger(__name__)

NGROK = "ngrok"
KEYS = {NGROK: "NGROK_AUTHTOKEN"}
PACKAGES = {NGROK: "ngrok", "ssh": "asyncssh"}

OPEN_S = 15.0
KEEPALIVE_S = 10.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class TunnelError(TransportError):
    """The tunnel could not be opened."""


class Tunnel(Protocol):
    """Forwards a public address to a port of this machine.

    Attributes:
        name: for the log.
    """

    name: str

    async def open(self, port: int) -> str:
        """Forward to 127.0.0.1:`port`; returns the public origin, "https://host".

        Raises:
            TunnelError: it cannot be opened.
        """

    async def aclose(self) -> None:
        """Close it. Can be called more than once, and after a failed `open`."""


class NgrokTunnel:
    """An ngrok tunnel through ngrok's SDK, in this process. `token` is the account's authtoken."""

    name = "ngrok"

    def __init__(self, token: str) -> None:
        self._token = token
        self._session: Any = None

    async def open(self, port: int) -> str:
        if not self._token:
            raise TunnelError("ngrok needs your account's authtoken: set NGROK_AUTHTOKEN in .env")
        import ngrok

        try:
            async with asyncio.timeout(OPEN_S):
                self._session = await ngrok.SessionBuilder().authtoken(self._token).connect()
                listener = await self._session.http_endpoint().listen_and_forward(f"http://127.0.0.1:{port}")
        except TimeoutError:
            raise TunnelError(
                f"ngrok did not answer within {OPEN_S:g} s. Check the network and NGROK_AUTHTOKEN"
            ) from None
        except Exception as error:  # the SDK raises plain ValueErrors, with tuples as arguments
            said = ": ".join(str(argument) for argument in error.args)
            reason = " ".join(said.replace(self._token or "\0", "…").split())[:200]
            if "ERR_NGROK" not in said and "tcp connection" in said:
                raise TunnelError(f"ngrok cannot be reached: {reason}. Check the network") from None
            raise TunnelError(f"ngrok refused the tunnel: {reason}") from None
        return str(listener.url())

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class SshTunnel:
    """Remote forwarding from a port of your host, where a web server terminates TLS. Reconnects when it
    breaks.

    Args:
        via: ssh://user@host[:port]/PORT.
        public: the public origin that leads to PORT.
        options: for `asyncssh.connect`; by default it uses the keys and known hosts in `~/.ssh`.
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


def check_tunnel(via: str) -> None:
    """Check that the tunnel's package is installed.

    Raises:
        MissingPackageError: it is not installed.
    """
    kind = via.partition(":")[0]
    package = PACKAGES[kind]
    if find_spec(package) is None:
        raise MissingPackageError(f"a tunnel via {kind}", package, f"pip install 'botrun[{kind}]'")


def make_tunnel(via: str, keys: Mapping[str, str], public: str) -> Tunnel:
    """The tunnel for `--tunnel-via`. `public`: with SSH, the public origin that leads to the remote port."""
    if via == NGROK:
        return NgrokTunnel(keys.get(KEYS[NGROK], ""))
    return SshTunnel(via, public)
