"""The parts of the public side that exist once per run, whatever its workers: tunnel, number, ledger.

With reload they are in their own process (`worker/public_keeper.py`), otherwise in the serving process.
During a run, its phone number points to it; afterwards, even after a crash, the number's previous webhook is
restored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BotrunError, UsageError
from runner.providers import PROVIDERS, Provider, provider_class, provider_named
from runner.providers.base import masked
from runner.providers.daily import SECRET
from runner.server.public.address import PublicAddress, phones_of, probe, tunnel_of
from runner.server.public.ledger_client import make_store
from runner.server.state_file import Entry, StateFile, dial_key_path, write_private
from runner.settings import Settings, read_keys, state_folder
from runner.tunnels import KEYS, Tunnel, make_tunnel

logger = logging.getLogger(__name__)

TAKE_OVER_S = 0.5
"""Time (s) within which a worker that lost its connection reconnects."""

ADDRESSES = ("voice_url", "answer_url")
"""The fields of a number's state that hold its webhook."""


async def take_number(book: NumberJournal, provider: Provider, number: str, url: str) -> Taken:
    """Point the number at `url`; its previous state is saved first.

    Raises:
        BotrunError: it failed, or another run has the number.
    """
    for entry in book.read():
        if (entry.provider, entry.number) == (provider.name, number):
            if entry.is_held:
                raise UsageError(f"--number: another botrun (process {entry.pid}) has {masked(number)}")
            return await _take_over(book, provider, entry, url)
    state = await provider.number_state(number)
    taken = Taken(provider.name, number, url, state)
    book.take(taken)
    await provider.point_number(state, url)
    logger.info("%s points at this run until it ends", masked(number))
    return taken


async def _take_over(book: NumberJournal, provider: Provider, left: Taken, url: str) -> Taken:
    """Take a number that a crashed run left behind, without restoring it in between."""
    now = await provider.number_state(left.number)
    is_ours = _address(now) == left.url
    taken = Taken(provider.name, left.number, url, left.state if is_ours else now)
    book.take(taken)
    if _address(now) != url:
        await provider.point_number(taken.state, url)
    logger.info("%s points at this run until it ends", masked(left.number))
    return taken


async def put_back(book: NumberJournal, provider: Provider, taken: Taken) -> None:
    """Restore the number's webhook, unless it was changed meanwhile.

    Raises:
        BotrunError: it failed; the journal keeps it for the next start.
    """
    now = await provider.number_state(taken.number)
    if _address(now) == taken.url:
        await provider.restore_number(taken.state)
        logger.info("%s has its previous webhook again", masked(taken.number))
    elif _address(now) != _address(taken.state):
        logger.info("%s was changed while botrun ran; leaving the new webhook in place", masked(taken.number))
    book.remove(taken)


async def put_back_leftovers(
    book: NumberJournal, providers: Mapping[str, Provider], but: tuple[str, str] = ("", "")
) -> None:
    """Restore the numbers that ended runs left behind, except the (provider, number) `but`."""
    for entry in book.read():
        provider = providers.get(entry.provider)
        if entry.is_held or provider is None or (entry.provider, entry.number) == but:
            continue
        if missing := provider.missing_keys(provider.rest_keys):
            logger.warning(
                "%s still points at an earlier run; set %s and start botrun again to restore it",
                masked(entry.number),
                ", ".join(missing),
            )
            continue
        try:
            await put_back(book, provider, entry)
        except BotrunError as error:
            logger.warning("%s: restoring its webhook failed: %s", masked(entry.number), error)


def _address(state: Mapping[str, str]) -> str:
    return next((state[name] for name in ADDRESSES if name in state), "")


FILE = "numbers.json"


@dataclass(frozen=True)
class Taken(Entry):
    """A number that a run has taken.

    Attributes:
        provider: the provider's name.
        number: in E.164 form.
        url: the webhook that the run set.
        state: the data that `restore_number` needs.
    """

    provider: str
    number: str
    url: str
    state: dict[str, str]


class NumberJournal(StateFile[Taken]):
    """A file in `folder` with the numbers that runs on this machine have taken, each once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, Taken)

    def take(self, taken: Taken) -> None:
        """Save an entry, before anything is changed at the provider."""
        self.add(taken, lambda e: (e.provider, e.number) == (taken.provider, taken.number))

    def remove(self, taken: Taken) -> None:
        """Remove an entry whose previous webhook has been restored."""
        self.drop(lambda entry: entry == taken)


class Keeper:
    """Opens the tunnel and points the number at it; restores and closes both.

    Args:
        settings: the run's settings.
        tunnel: replaces the tunnel of the settings, for tests.
    """

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.store = make_store(settings)
        self._settings = settings
        self._tunnel = tunnel
        self._book = NumberJournal(state_folder(settings))
        self._taken: Taken | None = None
        self._providers: dict[str, Provider] = {}
        self._key_file: Path | None = None

    async def address(self, port: int, former: PublicAddress | None = None) -> PublicAddress:
        """Open the tunnel to this local port; returns the public address.

        If the origin is the same as before, `former` is returned, with its keys.

        Raises:
            BotrunError: the tunnel cannot be opened.
        """
        await self.store.start()
        if self._tunnel is None and (via := tunnel_of(self._settings)):
            self._tunnel = make_tunnel(via, read_keys(list(KEYS.values())), self._settings.proxy or "")
        origin = self._settings.proxy or "" if self._tunnel is None else await self._tunnel.open(port)
        if former is not None and former.origin == origin:
            return former
        dial_key = former.dial_key if former is not None else self._settings.login_key
        keys = {**keys_of(phones_of(self._settings.transports)), **read_keys([SECRET])}
        return PublicAddress.at(origin, dial_key, keys)

    async def open(self, address: PublicAddress) -> None:
        """Check that the address leads to this run, and only then set the number.

        Raises:
            BotrunError: one of the steps failed.
        """
        phones = phones_of(self._settings.transports)
        self._providers = make_providers(self._settings, phones, address.keys)
        if self._settings.check_public:
            logger.info("checking that %s leads to this run", address.origin)
            await probe(address)
        await self.tidy(but=(phones[0], self._settings.number or "") if phones else ("", ""))
        if self._settings.number:
            await self._take(self._providers[phones[0]], self._settings.number, address)
        self._key_file = dial_key_path(self._settings)
        write_private(self._key_file, address.dial_key)
        if self._settings.accept_unsigned_webhooks:
            logger.warning(
                "webhook signatures are not checked: anyone who knows the address can start the bot"
            )

    async def tidy(self, but: tuple[str, str] = ("", "")) -> None:
        """Restore the numbers that ended runs left behind, except the (provider, number) `but`."""
        entries = [entry for entry in self._book.read() if not entry.is_held]
        if not entries:
            return
        others = {entry.provider for entry in entries if entry.provider in PROVIDERS} - set(self._providers)
        providers = make_providers(self._settings, sorted(others))
        try:
            await put_back_leftovers(self._book, {**self._providers, **providers}, but)
        finally:
            for provider in providers.values():
                await provider.aclose()

    async def hang_up(self, name: str, call_id: str) -> None:
        """Hang up a call whose worker died, unless another worker has taken it over."""
        await asyncio.sleep(TAKE_OVER_S)
        provider = self._providers.get(name)
        try:
            if provider is None or await self.store.ask("has_sound", call_id):
                return
            await provider.hang_up(call_id)
        except BotrunError as error:
            logger.warning("call %s: its worker died and hanging up failed: %s", call_id, error)
        else:
            logger.warning("call %s hung up: its worker died", call_id)

    async def give_back(self) -> None:
        """Restore the number, once."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        try:
            await put_back(self._book, self._providers[taken.provider], taken)
        except BotrunError as error:
            logger.warning("restoring the number failed, botrun tries again at its next start: %s", error)

    async def aclose(self) -> None:
        """Restore the number if that has not been done, and close the tunnel."""
        await self.give_back()
        if self._key_file is not None:
            self._key_file.unlink(missing_ok=True)
        if self._tunnel is not None:
            with contextlib.suppress(OSError):
                await self._tunnel.aclose()
        for provider in self._providers.values():
            await provider.aclose()
        await self.store.aclose()

    async def _take(self, provider: Provider, number: str, address: PublicAddress) -> None:
        url = address.answer_url(provider.name)
        try:
            self._taken = await take_number(self._book, provider, number, url)
        except BaseException:
            # The number may have been changed already: let `give_back` check it.
            mine = [
                entry for entry in self._book.read() if entry.number == number and entry.pid == os.getpid()
            ]
            self._taken = next(iter(mine), None)
            raise


def keys_of(phones: list[str]) -> dict[str, str]:
    """All keys of these providers that are set in the environment."""
    return {
        key: value for name in phones for key, value in read_keys(provider_class(name).all_keys()).items()
    }


def make_providers(
    settings: Settings, names: list[str], keys: Mapping[str, str] | None = None
) -> dict[str, Provider]:
    """Providers by name, with these keys or else those in the environment."""
    there = keys_of(names) if keys is None else keys
    found = {}
    for name in names:
        own = {key: there[key] for key in provider_class(name).all_keys() if key in there}
        found[name] = provider_named(name, own, settings.provider_api or "")
    return found
