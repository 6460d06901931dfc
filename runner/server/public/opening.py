"""Opens the public side of a run, in an order in which nothing is promised before it holds; and closes it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from runner.errors import BotrunError, UsageError
from runner.providers import PROVIDERS, Provider, provider_class, provider_named
from runner.server.private_book import write_private
from runner.server.public.exchange import Exchange
from runner.server.public.number_book import NumberBook, Taken
from runner.server.public.numbers import put_back, put_back_leftovers, take_number
from runner.server.public.probe import probe
from runner.server.public.readiness import is_public, phones_of, tunnel_of
from runner.settings import Settings, read_keys, state_folder
from runner.tunnels import KEYS, Tunnel, make_tunnel

if TYPE_CHECKING:
    from pathlib import Path

    from runner.server.app import Host

logger = logging.getLogger(__name__)

CLOSE_CONNECTIONS_S = 0.3
BACKLOG = 512


class PublicSide:
    """The public side of a run; none, if no public address is asked for.

    Args:
        host: whom to serve; its `exchange` is set once all is open.
        tunnel: another than the settings name, for tests.
    """

    def __init__(self, host: Host, tunnel: Tunnel | None = None) -> None:
        self._host = host
        self._settings = host.settings
        self._book = NumberBook(state_folder(host.settings))
        self._tunnel = tunnel
        self._taken: Taken | None = None
        self._providers: dict[str, Provider] = {}
        self._stack = contextlib.AsyncExitStack()

    async def open(self) -> None:
        """Listen, open the tunnel, see that it leads here, and only then set the number.

        Raises:
            BotrunError: something of it cannot be done.
        """
        if self._host.rooms is not None:
            self._host.rooms.sweep_soon()
        if not is_public(self._settings) and self._tunnel is None:
            await self._tidy()
            return
        from runner.server.public.door import create_public_app
        from runner.server.public.pinless import PinlessDoor
        from runner.server.serving import Server
        from runner.server.telephony import CallDoor

        self._providers = make_providers(self._settings, phones_of(self._settings.transports))
        listener = self._stack.enter_context(_listen(self._settings))
        port = listener.getsockname()[1]
        exchange = Exchange(self._settings, await self._address(port), self._providers)
        rooms = self._host.rooms
        pinless = PinlessDoor(exchange, rooms) if rooms is not None else None
        server = Server(create_public_app(exchange, CallDoor(self._host), pinless))
        await self._stack.enter_async_context(server.serving(listener, CLOSE_CONNECTIONS_S))
        logger.info("%s must lead to 127.0.0.1:%d; it is tried now", exchange.origin, port)
        await probe(exchange)
        await self._tidy()
        if self._settings.number:
            await self._take(exchange, self._settings.number)
        self._stack.callback(dial_key_path(self._settings).unlink, missing_ok=True)
        write_private(dial_key_path(self._settings), exchange.dial_key)
        if self._settings.accept_unsigned_webhooks:
            logger.warning("webhooks are not checked: anybody who knows the address can start the bot")
        self._host.exchange = exchange

    async def aclose(self) -> None:
        """Put the number back, and close what is open."""
        self._host.exchange = None
        if self._taken is not None:
            try:
                await put_back(self._book, self._providers[self._taken.provider], self._taken)
            except BotrunError as error:
                logger.warning("the number is put back at the next start: %s", error)
        with contextlib.suppress(OSError):
            await self._stack.aclose()
        for provider in self._providers.values():
            await provider.aclose()
        if self._host.rooms is not None:
            await self._host.rooms.aclose()

    async def _address(self, port: int) -> str:
        if self._tunnel is None and (via := tunnel_of(self._settings)):
            keys = read_keys(list(KEYS.values()))
            self._tunnel = make_tunnel(via, keys, self._settings.proxy or "")
        if self._tunnel is None:
            return self._settings.proxy or ""
        self._stack.push_async_callback(self._tunnel.aclose)
        return await self._tunnel.open(port)

    async def _take(self, exchange: Exchange, number: str) -> None:
        provider = self._providers[exchange.default]
        try:
            self._taken = await take_number(
                self._book, provider, number, exchange.answer_url(exchange.default)
            )
        except BaseException:
            # It may have been pointed here already: `aclose` looks.
            mine = [
                entry for entry in self._book.read() if entry.number == number and entry.pid == os.getpid()
            ]
            self._taken = next(iter(mine), None)
            raise

    async def _tidy(self) -> None:
        entries = [entry for entry in self._book.read() if not entry.is_held]
        if not entries:
            return
        others = {entry.provider for entry in entries if entry.provider in PROVIDERS} - set(self._providers)
        providers = make_providers(self._settings, sorted(others))
        try:
            await put_back_leftovers(self._book, {**self._providers, **providers})
        finally:
            for provider in providers.values():
                await provider.aclose()


def make_providers(settings: Settings, names: list[str]) -> dict[str, Provider]:
    """These providers, with their keys from the environment."""
    found = {}
    for name in names:
        keys = read_keys(provider_class(name).all_keys())
        found[name] = provider_named(name, keys, settings.provider_api or "")
    return found


def dial_key_path(settings: Settings) -> Path:
    """Where `botrun dial` finds the key of the run at this port."""
    return state_folder(settings) / f"dial-{settings.port}.key"


def _listen(settings: Settings) -> socket.socket:
    own_tunnel = tunnel_of(settings) and "public_port" not in settings.sources
    port = 0 if own_tunnel else settings.public_port
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be had ({error.strerror}); choose another with --public-port"
        ) from None
    # Inherited by its connections: see `cli/listen.py`.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
