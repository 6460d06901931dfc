"""Runs uvicorn on a given socket, without its signal handlers, log lines and polling."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from runner.eventloop.waiting import first_of
from runner.server.wire.connection_limits import ConnectionLimits
from runner.server.wire.http_protocol import REQUEST_S, HttpProtocol
from runner.server.wire.websocket_protocol import WebSocketProtocol

logger = logging.getLogger(__name__)

MESSAGE_LIMIT_BYTES = 256 * 1024
PING_S = 5.0
TICK_S = 1.0


class Server(uvicorn.Server):
    """Serves an application while `serving` is entered.

    Args:
        app: the application.
        certificate: files of a certificate and its key, for TLS.
        request_s: time (s) for a request to arrive.
        limits: limits of unverified connections; by default, only for those from other machines.
    """

    def __init__(
        self,
        app: ASGIApp,
        certificate: Sequence[str] = (),
        *,
        request_s: float = REQUEST_S,
        limits: ConnectionLimits | None = None,
    ) -> None:
        chain, key = certificate or (None, None)
        limits = limits or ConnectionLimits()
        http = functools.partial(HttpProtocol, request_s=request_s, limits=limits)
        config = uvicorn.Config(
            app,
            # No compression: it saves nothing on encoded sound and takes memory per socket.
            ws=cast(type[asyncio.Protocol], functools.partial(WebSocketProtocol, limits=limits)),
            ws_max_size=MESSAGE_LIMIT_BYTES,
            # A lost client is detected after at most four intervals.
            ws_ping_interval=PING_S,
            http=cast(type[asyncio.Protocol], http),
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ssl_certfile=chain,
            ssl_keyfile=key,
        )
        super().__init__(config)
        self._listening = asyncio.Event()
        self._stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket | None, close_within_s: float) -> AsyncIterator[None]:
        """Accept on `listener`; at the end, close open connections within `close_within_s`.

        Without a listener, connections come through `adopt`.
        """
        self.config.timeout_graceful_shutdown = close_within_s  # type: ignore[assignment]  # uvicorn declares int
        task = asyncio.create_task(self.serve([listener] if listener else []), name="server")
        try:
            await first_of(asyncio.wait({task}), self._listening.wait())
            if task.done():
                await task
            yield
        finally:
            with _quiet():
                self._stop.set()
                await asyncio.wait({task})

    async def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that another process has accepted. Raises `OSError` if it is closed."""

        def connected() -> asyncio.Protocol:
            make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
            return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(connected, connection, ssl=self.config.ssl)

    @contextlib.asynccontextmanager
    async def serving_inside(self, path: Path, wrap: Callable[[Any], Any]) -> AsyncIterator[None]:
        """Also serve the application, wrapped by `wrap`, on a Unix socket, which `refuse_more` leaves
        open."""
        config = copy.copy(self.config)
        config.loaded_app = wrap(self.config.loaded_app)

        def connected() -> asyncio.Protocol:
            return H11Protocol(config, self.server_state, self.lifespan.state)

        try:
            server = await asyncio.get_running_loop().create_unix_server(connected, str(path))
        except OSError as error:
            logger.warning(
                "cannot listen on %s (%s): after a save, requests for calls that stay with the old code fail",
                path,
                error,
            )
            yield
            return
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    def refuse_more(self) -> None:
        """Accept no more connections; open ones continue."""
        for server in self.servers:
            server.close()

    def close_idle(self) -> None:
        """Close idle connections, so that their next request reaches the new code."""
        for connection in list(self.server_state.connections):
            # Not WebSockets, which carry calls.
            if isinstance(connection, H11Protocol):
                connection.shutdown()

    async def main_loop(self) -> None:
        """Wait until the server stops; uvicorn's own loop polls ten times a second."""
        self._listening.set()
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide uvicorn's log lines about connections that are cut off on purpose at the end."""
    logger = logging.getLogger("uvicorn.error")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
