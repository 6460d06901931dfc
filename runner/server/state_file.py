"""A private file, safe against crashes, with what runs have changed elsewhere and must restore."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from runner.settings import Settings, state_folder


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change made by a run.

    Attributes:
        pid: the process that made the change.
        birth: when that process started, because process ids are reused.
    """

    pid: int = field(default_factory=os.getpid)
    birth: str = field(default_factory=lambda: birth_of(os.getpid()))

    @property
    def is_held(self) -> bool:
        """Whether the process is still running."""
        return birth_of(self.pid) == self.birth


E = TypeVar("E", bound=Entry)


class StateFile(Generic[E]):
    """The entries of all runs on this machine.

    Args:
        path: the file; it does not exist while there are no entries.
        make: builds an entry from the fields in the file.
    """

    def __init__(self, path: Path, make: Callable[..., E]) -> None:
        self._path = path
        self._make = make

    def read(self) -> list[E]:
        """All entries; a file that cannot be read counts as empty."""
        try:
            listed = json.loads(self._path.read_text(encoding="utf-8"))
            return [self._make(**entry) for entry in listed]
        except (OSError, ValueError, TypeError):
            return []

    def add(self, entry: E, instead_of: Callable[[E], bool] = lambda _: False) -> None:
        """Save an entry, before the change is made."""
        with self._locked():
            self._write([*(e for e in self.read() if not instead_of(e)), entry])

    def drop(self, which: Callable[[E], bool]) -> None:
        """Remove entries whose change has been undone."""
        with self._locked():
            self._write([entry for entry in self.read() if not which(entry)])

    def _write(self, entries: list[E]) -> None:
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        rows: list[dict[str, Any]] = [asdict(entry) for entry in entries]
        write_private(self._path, json.dumps(rows, indent=1))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, with mode 0600 from the start."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def birth_of(pid: int) -> str:
    """The start time of a process as the system reports it; "" if it has ended (proc(5), stat, field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _lives(pid)
    fields: list[Any] = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else str(fields[19])


def _lives(pid: int) -> str:
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "lives"


def dial_key_path(settings: Settings) -> Path:
    """The file in which `botrun dial` finds the key of the run at this port."""
    return state_folder(settings) / f"dial-{settings.port}.key"
