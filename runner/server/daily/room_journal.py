"""The Daily rooms that runs of this machine have made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.server.state_file import Entry, PrivateBook

FILE = "daily-rooms.json"


@dataclass(frozen=True)
class Made(Entry):
    """A room that a run has made.

    Attributes:
        name: the room's.
        expires_at: Unix time (s), after which Daily closes it without us.
    """

    name: str
    expires_at: float


class RoomBook(PrivateBook[Made]):
    """The rooms that stand, in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, Made)

    def remove(self, name: str) -> None:
        """It is gone."""
        self.drop(lambda entry: entry.name == name)
