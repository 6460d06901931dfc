"""Which files a bot is made of, and whether a change in them is an edit by a person.

Counted are the bot's modules, `.env`, `--watch`, and text files below the bot's folder that the bot has
opened, found in a folder that it listed, or named in its code. Never counted is what the run itself writes:
workers report each path before they open it (`worker/file_notes.py`), and open files of the run's processes
and their children are found in `/proc`.

Saves are noticed by any editor, also in new folders; a burst of saves is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from watchfiles import watch

from runner.settings import find_dotenv
from runner.worker.file_notes import DATA_SUFFIXES

SKIPPED = frozenset(("node_modules", "__pycache__", "venv", "env", "site-packages", "dist", "build"))
MOST_FOLDERS, DEEPEST = 300, 4
HASHED_BYTES = 4 << 20
"""Of a larger file, size and time stand for its content."""

MOST_LINKS = 40


class BotFiles:
    """The files that are watched for one bot.

    Args:
        bot: the bot's file as it was typed; it may be, or lie behind, a symbolic link.
        extra: further files and folders, of which every file counts (`--watch`).
        pids: the processes of the run, whose open files are theirs.

    Attributes:
        bot: the bot's real file, as of the last look.
        broken: the code on disk does not load: then a new module beside the bot may fix it.
    """

    def __init__(
        self, bot: Path, extra: Sequence[Path] = (), pids: Callable[[], Iterable[int]] = tuple
    ) -> None:
        self._typed = Path(os.path.abspath(bot))
        self.bot = self._typed.resolve()
        self.broken = False
        self._extra = [Path(os.path.abspath(path)) for path in extra]
        self._pids = pids
        self._modules = {self._typed, self.bot}
        self._read: set[Path] = set()
        self._listed: set[Path] = set()
        self._written: set[Path] = set()
        self._digests: dict[Path, str] = {}

    def learn(self, modules: Iterable[str]) -> None:
        """The bot has imported these files."""
        self._modules |= {Path(name) for name in modules}
        self._look()

    def note(self, notes: Iterable[tuple[str, Path]]) -> None:
        """What a worker did: ("r", a file it read), ("l", a folder it listed), ("w", a file it writes)."""
        for kind, path in notes:
            if kind == "w":
                self._written |= {path, _real(path)}
            elif kind == "l" and path != self.bot.parent:
                self._listed.add(path)
                for file in _files(path):
                    self._know(file)
            elif kind == "r" and path not in self._read:
                self._read.add(path)
                self._know(path)

    def folders(self) -> list[Path]:
        """The folders to watch, each without those below it."""
        found = dict.fromkeys(_walk(self.bot.parent))
        for path in [*self._modules, *self._tracked()]:
            found.update(dict.fromkeys((path.parent, *(link.parent for link in _links(path)))))
        for path in self._extra:
            found.update(dict.fromkeys(_walk(path) if path.is_dir() else [path.parent]))
        return [folder for folder in found if folder.is_dir()]

    def changed(self, paths: Iterable[Path]) -> list[Path]:
        """Those that matter, have another content than before, and were not written by the run itself.

        A linked file changes with its target, and with a link on the way to it: all of them are looked at.
        """
        linked = [path for path in [*self._modules, *self._tracked()] if _real(path) != path]
        found = [path for path in sorted({*paths, *linked}) if self._matters(path) and self._renew(path)]
        if not found:
            return []
        ours = self._open_for_writing()
        mine = [path for path in found if _identity(path) in ours]
        self._written.update(path for path in mine if path not in self._modules)
        edited = [path for path in found if path not in mine]
        if (real := self._typed.resolve()) != self.bot:
            self.bot = real
            self._modules.add(real)
        return self._named_once(edited)

    def _named_once(self, paths: list[Path]) -> list[Path]:
        """A link and its target are one file to a person: the link is named."""
        seen: dict[Path, Path] = {}
        for path in paths:
            if path.is_symlink() or _real(path) not in seen:
                seen[_real(path)] = path
        return sorted(set(seen.values()))

    def _tracked(self) -> list[Path]:
        """Files that count because of what the bot did, and its `.env`."""
        dotenv = find_dotenv(self._typed)
        return [*self._read, *self._extra, *([Path(os.path.abspath(dotenv))] if dotenv else [])]

    def _matters(self, path: Path) -> bool:
        if path in self._written or _real(path) in self._written:
            return False
        if path in self._modules or path in self._read:
            return True
        if any(path == one or one in path.parents for one in self._extra):
            return True
        if path.name.startswith(".env"):
            return path.parent in (self.bot.parent, self._typed.parent, Path.cwd())
        if self.bot.parent not in path.parents:
            return False
        if any(_is_skipped(part) for part in path.relative_to(self.bot.parent).parts[:-1]):
            return False
        if path.suffix == ".py":
            return self.broken
        return path.suffix in DATA_SUFFIXES and (path.parent in self._listed or self._is_named(path.name))

    def _is_named(self, name: str) -> bool:
        """Whether the file's name occurs in the code of the bot."""
        wanted = name.encode()
        for module in self._modules:
            with contextlib.suppress(OSError):
                if module.is_relative_to(self.bot.parent) and wanted in module.read_bytes():
                    return True
        return False

    def _renew(self, path: Path) -> bool:
        digest = self._digest(path)
        if self._digests.get(path, "") == digest:
            return False
        self._digests[path] = digest
        return True

    def _know(self, path: Path) -> None:
        if path not in self._digests and self._matters(path):
            self._digests[path] = self._digest(path)

    def _digest(self, path: Path) -> str:
        # The bot's own link counts by its target, too: other modules lie beside that.
        return _digest(path) + (str(_real(path)) if path == self._typed else "")

    def _look(self) -> None:
        """Know the content of all that is there, so that only later changes count."""
        for folder in self.folders():
            for path in _files(folder):
                self._know(path)
        for path in [*self._modules, *self._tracked()]:
            self._know(path)

    def _open_for_writing(self) -> set[tuple[int, int]]:
        """What the run's processes and their children write now, and where their output goes."""
        found = {(facts.st_dev, facts.st_ino) for fd in (1, 2) if (facts := _fstat(fd)) is not None}
        for pid in _with_children({os.getpid(), *self._pids()}):
            for link in _entries(Path(f"/proc/{pid}/fd")):
                if _is_writable(pid, link.name) and (identity := _identity(link)) is not None:
                    found.add(identity)
        return found


def _digest(path: Path) -> str:
    """Of a file's content; "" if there is none."""
    try:
        facts = path.stat()
        if facts.st_size > HASHED_BYTES:
            return f"{facts.st_size} {facts.st_mtime_ns}"
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # links in a circle
        return path


def _links(path: Path) -> list[Path]:
    """Each symbolic link on the way to a file, and the file that they lead to."""
    found: list[Path] = []
    waiting = [path]
    while waiting and len(found) < MOST_LINKS:
        here = waiting.pop()
        link = next((part for part in [*reversed(here.parents), here] if part.is_symlink()), None)
        if link is None:
            found.append(here)
            continue
        found.append(link)
        with contextlib.suppress(OSError):
            target = Path(os.path.normpath(link.parent / link.readlink()))
            waiting.append(target / here.relative_to(link))
    return found


def _walk(top: Path) -> Iterator[Path]:
    """The folder and those below that may be the user's own."""
    for count, (name, below, _) in enumerate(os.walk(top)):
        folder = Path(name)
        if count >= MOST_FOLDERS:
            return
        depth = len(folder.relative_to(top).parts)
        below[:] = [sub for sub in below if depth < DEEPEST and not _is_skipped(sub)]
        below[:] = [sub for sub in below if not (folder / sub / "pyvenv.cfg").exists()]
        yield folder


def _is_skipped(name: str) -> bool:
    return name in SKIPPED or name.startswith(".")


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


# ------------------------------------------------------------------ processes (on Linux)


def _fstat(fd: int) -> os.stat_result | None:
    try:
        return os.fstat(fd)
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _is_writable(pid: int, fd: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines():
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & (os.O_WRONLY | os.O_RDWR))
    return False


def _with_children(pids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid in found:
            continue
        found.add(pid)
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in file.read_text().split()]
    return found


BURST_MS, QUIET_MS = 400, 50
"""A burst is over when nothing more has come for `QUIET_MS`, or has lasted `BURST_MS`."""

MISSING_S = 0.25
"""Some editors delete a file before they write it again."""


class Watch:
    """Calls `on_change(paths)` in the loop when files of the bot have another content.

    `before` is called before files are compared: it brings in what the bot itself has written.
    """

    def __init__(
        self, files: BotFiles, on_change: Callable[[list[Path]], None], before: Callable[[], object]
    ) -> None:
        self._files = files
        self._on_change = on_change
        self._before = before
        self._folders: list[Path] = []
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looking: asyncio.TimerHandle | None = None

    def renew(self) -> None:
        """Watch the bot's folders as they are now."""
        folders = self._files.folders()
        if folders == self._folders and self._thread is not None:
            return
        self.close()
        self._folders, self._stop = folders, threading.Event()
        self._thread = threading.Thread(
            target=self._follow, args=(folders, self._stop), name="watch", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Watch nothing more."""
        self._stop.set()
        if self._looking is not None:
            self._looking.cancel()

    def _follow(self, folders: list[Path], stop: threading.Event) -> None:
        bursts = watch(
            *folders, watch_filter=None, recursive=False, stop_event=stop, raise_interrupt=False,
            debounce=BURST_MS, step=QUIET_MS,
        )  # fmt: skip
        for burst in bursts:
            paths = [Path(name) for _, name in burst]
            if not stop.is_set():
                self._loop.call_soon_threadsafe(self._look, paths)

    def _look(self, paths: Iterable[Path]) -> None:
        paths = list(paths)
        if any(not path.exists() for path in paths):
            self._looking = self._loop.call_later(MISSING_S, self._judge, paths)
        else:
            self._judge(paths)

    def _judge(self, paths: list[Path]) -> None:
        folders = [path for path in paths if path.is_dir()]
        # Nothing reports what was put into a new folder before it was watched.
        paths += [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        if folders or any(not path.exists() for path in self._folders):
            self.renew()
        self._before()
        if changed := self._files.changed(paths):
            self._on_change(changed)
