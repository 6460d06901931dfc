"""What of the public side is there once in a run, whatever becomes of its workers: tunnel, number, ledger.

With reload it lives in a process of its own (`worker/public_keeper.py`), else in the one that serves.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from runner.errors import BotrunError
from runner.providers import PROVIDERS, Provider, provider_class, provider_named
from runner.providers.daily import SECRET
from runner.server.public.address import PublicAddress, probe
from runner.server.public.ledger.ledger import Ledger
from runner.server.public.numbers import NumberJournal, Taken, put_back, put_back_leftovers, take_number
from runner.server.public.readiness import phones_of, tunnel_of
from runner.server.state_file import dial_key_path, write_private
from runner.settings import Settings, read_keys, state_folder
from runner.tunnels import KEYS, Tunnel, make_tunnel

logger = logging.getLogger(__name__)


class Keeper:
    """Opens the tunnel, takes the number, and gives both back.

    Args:
        settings: the run's.
        tunnel: another than the settings name, for tests.
    """

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.ledger = Ledger(settings)
        self._settings = settings
        self._tunnel = tunnel
        self._book = NumberJournal(state_folder(settings))
        self._taken: Taken | None = None
        self._providers: dict[str, Provider] = {}
        self._key_file: Path | None = None

    async def address(self, port: int, former: PublicAddress | None = None) -> PublicAddress:
        """Open the tunnel to this port of the machine; tells where the run can be reached.

        An address that is as it was before keeps what belonged to it (`former`).

        Raises:
            BotrunError: it cannot be opened.
        """
        if self._tunnel is None and (via := tunnel_of(self._settings)):
            self._tunnel = make_tunnel(via, read_keys(list(KEYS.values())), self._settings.proxy or "")
        origin = self._settings.proxy or "" if self._tunnel is None else await self._tunnel.open(port)
        if former is not None and former.origin == origin:
            return former
        dial_key = former.dial_key if former is not None else self._settings.login_key
        keys = {**keys_of(phones_of(self._settings.transports)), **read_keys([SECRET])}
        return PublicAddress.at(origin, dial_key, keys)

    async def open(self, address: PublicAddress) -> None:
        """See that the address leads to this run, and only then set the number.

        Raises:
            BotrunError: something of it cannot be done.
        """
        phones = phones_of(self._settings.transports)
        self._providers = make_providers(self._settings, phones, address.keys)
        logger.info("%s must lead to this run; it is tried now", address.origin)
        await probe(address)
        await self.tidy()
        if self._settings.number:
            await self._take(self._providers[phones[0]], self._settings.number, address)
        self._key_file = dial_key_path(self._settings)
        write_private(self._key_file, address.dial_key)
        if self._settings.accept_unsigned_webhooks:
            logger.warning("webhooks are not checked: anybody who knows the address can start the bot")

    async def tidy(self) -> None:
        """Let numbers do what they did that runs left behind which are no more."""
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

    async def give_back(self) -> None:
        """Let the number do what it did. Once."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        try:
            await put_back(self._book, self._providers[taken.provider], taken)
        except BotrunError as error:
            logger.warning("the number is put back at the next start: %s", error)

    async def aclose(self) -> None:
        """Give back what is not given back yet, and close the tunnel."""
        await self.give_back()
        if self._key_file is not None:
            self._key_file.unlink(missing_ok=True)
        if self._tunnel is not None:
            with contextlib.suppress(OSError):
                await self._tunnel.aclose()
        for provider in self._providers.values():
            await provider.aclose()

    async def _take(self, provider: Provider, number: str, address: PublicAddress) -> None:
        url = address.answer_url(provider.name)
        try:
            self._taken = await take_number(self._book, provider, number, url)
        except BaseException:
            # It may have been pointed here already: `give_back` looks.
            mine = [
                entry for entry in self._book.read() if entry.number == number and entry.pid == os.getpid()
            ]
            self._taken = next(iter(mine), None)
            raise


def keys_of(phones: list[str]) -> dict[str, str]:
    """All that these providers may need, from the environment."""
    return {
        key: value for name in phones for key, value in read_keys(provider_class(name).all_keys()).items()
    }


def make_providers(
    settings: Settings, names: list[str], keys: Mapping[str, str] | None = None
) -> dict[str, Provider]:
    """These providers, with their keys: those given, else those of the environment."""
    there = keys_of(names) if keys is None else keys
    found = {}
    for name in names:
        own = {key: there[key] for key in provider_class(name).all_keys() if key in there}
        found[name] = provider_named(name, own, settings.provider_api or "")
    return found
