"""What numbers did before a run took them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.server.state_file import Entry, PrivateBook

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


class NumberBook(PrivateBook[Taken]):
    """The numbers that runs on this machine have taken, in `folder`. Each stands there once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, Taken)

    def take(self, taken: Taken) -> None:
        """Remember, before anything is changed at the provider."""
        self.add(taken, lambda e: (e.provider, e.number) == (taken.provider, taken.number))

    def remove(self, taken: Taken) -> None:
        """It does again what it did."""
        self.drop(lambda entry: entry == taken)
