"""Opens the public side of a run step by step, each checked before the next, and closes it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.server.public.address import PublicAddress, is_public, open_public_listener, phones_of
from runner.server.public.keeper import Keeper, make_providers
from runner.server.public.ledger_client import LedgerClient, RemoteLedgerClient
from runner.server.public.public_calls import PublicCalls
from runner.tunnels import Tunnel

if TYPE_CHECKING:
    from pathlib import Path

    from runner.server.host import Host
    from runner.server.wire.uvicorn_server import Server

CLOSE_CONNECTIONS_S = 0.3


@dataclass(frozen=True)
class Kept:
    """A public side kept by another process; this process serves its port.

    Attributes:
        listener: the socket on which all workers accept; None if the supervisor accepts for them.
        address: the address reported by the keeper.
        ledger_client: the path of the keeper's socket.
    """

    listener: socket.socket | None
    address: PublicAddress
    ledger_client: Path


class PublicSide:
    """The public side of a run in this process. Does nothing without a public address.

    Args:
        host: the process's host; its `public_calls` is set once everything is open.
        tunnel: replaces the tunnel of the settings, for tests.
        kept: set if another process keeps the public side.

    Attributes:
        server: serves the public port, once it is open.
    """

    def __init__(self, host: Host, tunnel: Tunnel | None = None, kept: Kept | None = None) -> None:
        self._host = host
        self._kept = kept
        self._is_public = is_public(host.settings) or tunnel is not None
        self._keeper = Keeper(host.settings, tunnel)
        self.server: Server | None = None
        self._stack = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Listen, open the tunnel, check that it leads to this run, and only then set the number.

        Raises:
            BotrunError: one of the steps failed.
        """
        if self._host.rooms is not None:
            self._host.rooms.sweep_soon()
        if self._kept is not None:
            line = RemoteLedgerClient(self._kept.ledger_client)
            await self._stack.enter_async_context(line.open())
            self._host.public_calls = await self._serve(self._kept.listener, self._kept.address, line)
        elif self._is_public:
            await self._open_alone()
        else:
            await self._keeper.tidy()

    async def _open_alone(self) -> None:
        keeper, settings = self._keeper, self._host.settings
        self._stack.push_async_callback(keeper.aclose)
        listener = self._stack.enter_context(open_public_listener(settings))
        address = await keeper.address(listener.getsockname()[1])
        public_calls = await self._serve(listener, address, keeper.store)
        await keeper.open(address)
        self._host.public_calls = public_calls

    async def _serve(
        self, listener: socket.socket | None, address: PublicAddress, ledger_client: LedgerClient
    ) -> PublicCalls:
        settings = self._host.settings
        providers = make_providers(settings, phones_of(settings.transports), address.keys)
        public_calls = PublicCalls(settings, address, providers, ledger_client)
        self.server = await self._stack.enter_async_context(serving(self._host, public_calls, listener))
        return public_calls

    def refuse_more(self) -> None:
        """Accept no more connections; active calls continue."""
        if self.server is not None:
            self.server.refuse_more()
            self.server.close_idle()

    async def aclose(self) -> None:
        """Restore the number, and close what this process opened."""
        self._host.public_calls = None
        await self._keeper.give_back()
        with contextlib.suppress(OSError):
            await self._stack.aclose()
        if self._host.rooms is not None:
            await self._host.rooms.aclose()


@contextlib.asynccontextmanager
async def serving(
    host: Host, public_calls: PublicCalls, listener: socket.socket | None
) -> AsyncIterator[Server]:
    """Serve the public port while the block runs."""
    from runner.server.endpoints.media_socket import MediaSocketEndpoint
    from runner.server.public.endpoints import create_public_app
    from runner.server.wire.connection_limits import ConnectionLimits
    from runner.server.wire.uvicorn_server import Server

    pinless = None
    if host.rooms is not None:
        from runner.server.daily.rooms import DailyRooms
        from runner.server.public.pinless import PinlessEndpoint

        assert isinstance(host.rooms, DailyRooms)
        pinless = PinlessEndpoint(public_calls, host.rooms)
    app = create_public_app(public_calls, MediaSocketEndpoint(host), pinless)
    # Clients come through a tunnel, so their connections are local.
    server = Server(app, limits=ConnectionLimits(limits_local=True))
    async with server.serving(listener, CLOSE_CONNECTIONS_S):
        yield server
    for provider in public_calls.providers.values():
        await provider.aclose()
