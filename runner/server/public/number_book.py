"""What numbers did before a run took them: a file that outlives a crash, for nobody else's eyes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "numbers.json"


@dataclass(frozen=True)
class Taken:
    """A number that a run has taken.

    Attributes:
        provider: its name.
        number: with its plus.
        url: what the run set.
        state: what `restore_number` needs.
        pid: the run's process, and `birth` when it began, for process numbers come round again.
    """

    provider: str
    number: str
    url: str
    state: dict[str, str]
    pid: int = field(default_factory=os.getpid)
    birth: str = field(default_factory=lambda: birth_of(os.getpid()))

    @property
    def is_held(self) -> bool:
        """Whether the run that took it goes on."""
        return birth_of(self.pid) == self.birth


class NumberBook:
    """The numbers that runs on this machine have taken, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE

    def read(self) -> list[Taken]:
        """All that stand there; a file that cannot be read counts as empty."""
        try:
            listed = json.loads(self._path.read_text(encoding="utf-8"))
            return [Taken(**entry) for entry in listed]
        except (OSError, ValueError, TypeError):
            return []

    def add(self, taken: Taken) -> None:
        """Remember, before anything is changed at the provider."""
        with self._locked():
            others = [e for e in self.read() if (e.provider, e.number) != (taken.provider, taken.number)]
            self._write([*others, taken])

    def remove(self, taken: Taken) -> None:
        """It does again what it did."""
        with self._locked():
            self._write([entry for entry in self.read() if entry != taken])

    def _write(self, entries: list[Taken]) -> None:
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        write_private(self._path, json.dumps([asdict(entry) for entry in entries], indent=1))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, mode 0600 from the beginning."""
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
    """When a process began, in its system's own words; "" if there is none (proc(5), stat, field 22)."""
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
