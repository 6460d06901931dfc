"""A number of yours rings this run, and does afterwards what it did before: also after a crash."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.errors import BotrunError, UsageError
from runner.providers import Provider
from runner.providers.base import masked
from runner.server.state_file import Entry, StateFile

logger = logging.getLogger(__name__)

ADDRESSES = ("voice_url", "answer_url")
"""Where a number's state tells its address."""


async def take_number(book: NumberJournal, provider: Provider, number: str, url: str) -> Taken:
    """Point the number at `url`; what it did is remembered first.

    Raises:
        BotrunError: it cannot be done, or another run has it.
    """
    for entry in book.read():
        if (entry.provider, entry.number) == (provider.name, number):
            if entry.is_held:
                raise UsageError(f"--number: another botrun (process {entry.pid}) has {masked(number)}")
            await put_back(book, provider, entry)
    state = await provider.number_state(number)
    taken = Taken(provider.name, number, url, state)
    book.take(taken)
    await provider.point_number(state, url)
    logger.info("%s rings this bot until it ends", masked(number))
    return taken


async def put_back(book: NumberJournal, provider: Provider, taken: Taken) -> None:
    """Let the number do what it did, unless somebody has changed it since.

    Raises:
        BotrunError: it cannot be done now; the book keeps it for the next start.
    """
    now = await provider.number_state(taken.number)
    if _address(now) == taken.url:
        await provider.restore_number(taken.state)
        logger.info("%s has its former webhook again", masked(taken.number))
    elif _address(now) != _address(taken.state):
        logger.info("%s was changed while botrun ran; leaving the new webhook in place", masked(taken.number))
    book.remove(taken)


async def put_back_leftovers(book: NumberJournal, providers: Mapping[str, Provider]) -> None:
    """What runs left behind that are no more."""
    for entry in book.read():
        provider = providers.get(entry.provider)
        if entry.is_held or provider is None:
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
            logger.warning("%s could not be put back: %s", masked(entry.number), error)


def _address(state: Mapping[str, str]) -> str:
    return next((state[name] for name in ADDRESSES if name in state), "")


FILE = "numbers.json"


@dataclass(frozen=True)
class Taken(Entry):
    """A number that a run has taken.

    Attributes:
        provider: its name.
        number: with its plus.
        url: what the run set.
        state: what `restore_number` needs.
    """

    provider: str
    number: str
    url: str
    state: dict[str, str]


class NumberJournal(StateFile[Taken]):
    """The numbers that runs on this machine have taken, in `folder`. Each stands there once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, Taken)

    def take(self, taken: Taken) -> None:
        """Remember, before anything is changed at the provider."""
        self.add(taken, lambda e: (e.provider, e.number) == (taken.provider, taken.number))

    def remove(self, taken: Taken) -> None:
        """It does again what it did."""
        self.drop(lambda entry: entry == taken)
