"""The Daily rooms that runs of this machine have made: a file that outlives a crash, for no other eyes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from runner.server.public.number_book import birth_of, write_private

FILE = "daily-rooms.json"


@dataclass(frozen=True)
class Made:
    """A room that a run has made.

    Attributes:
        name: the room's.
        expires_at: Unix time (s), after which Daily closes it without us.
        pid: the run's process, and `birth` when it began, for process numbers come round again.
    """

    name: str
    expires_at: float
    pid: int = field(default_factory=os.getpid)
    birth: str = field(default_factory=lambda: birth_of(os.getpid()))

    @property
    def is_held(self) -> bool:
        """Whether the run that made it goes on."""
        return birth_of(self.pid) == self.birth


class RoomBook:
    """The rooms that stand, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE

    def read(self) -> list[Made]:
        """All that stand there; a file that cannot be read counts as empty."""
        try:
            return [Made(**entry) for entry in json.loads(self._path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return []

    def add(self, made: Made) -> None:
        """Remember, before the room is made."""
        with self._locked():
            self._write([*self.read(), made])

    def remove(self, name: str) -> None:
        """It is gone."""
        with self._locked():
            self._write([entry for entry in self.read() if entry.name != name])

    def _write(self, entries: list[Made]) -> None:
        if entries:
            write_private(self._path, json.dumps([asdict(entry) for entry in entries], indent=1))
        else:
            self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
