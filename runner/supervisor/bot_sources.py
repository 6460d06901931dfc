"""Which files a bot is made of, and whether what is in them has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

DATA_SUFFIXES = frozenset(
    (".yaml", ".yml", ".json", ".jsonl", ".toml", ".txt", ".md", ".prompt", ".jinja", ".jinja2", ".j2")
)
SKIPPED = frozenset(("node_modules", "__pycache__", "venv", "env", "site-packages", "dist", "build"))
MOST_FOLDERS, DEEPEST = 300, 4
HASHED_BYTES = 4 << 20
"""Of a larger file, size and time stand for what is in it."""


class Project:
    """What is looked at for one bot.

    Args:
        bot: the bot's file.
        extra: further files and folders, of which every file counts (`--watch`).

    Attributes:
        broken: the code as it stands does not load: then a new module beside the bot may mend it.
    """

    def __init__(self, bot: Path, extra: Sequence[Path] = ()) -> None:
        self.bot = bot
        self.broken = False
        self._extra = [path.resolve() for path in extra]
        self._modules = {bot}
        self._digests: dict[Path, str] = {}
        self._written: set[Path] = set()

    def learn(self, modules: Iterable[str], written: Iterable[str] = ()) -> None:
        """The bot has imported these files, and writes those itself."""
        self._modules |= {Path(name) for name in modules}
        self._written |= {Path(name) for name in written}
        self._look()

    def folders(self) -> list[Path]:
        """Those to watch, each without what lies below it."""
        found = dict.fromkeys(_walk(self.bot.parent))
        found.update(dict.fromkeys(module.parent for module in self._modules))
        for path in self._extra:
            found.update(dict.fromkeys(_walk(path) if path.is_dir() else [path.parent]))
        return [folder for folder in found if folder.is_dir()]

    def changed(self, paths: Iterable[Path]) -> list[Path]:
        """Those of the files that matter and have another content than before."""
        return [path for path in sorted(set(paths)) if self._matters(path) and self._renew(path)]

    def _matters(self, path: Path) -> bool:
        if path in self._modules or any(path == one or one in path.parents for one in self._extra):
            return True
        if path in self._written or self.bot.parent not in path.parents:
            return False
        if any(_is_skipped(part) for part in path.relative_to(self.bot.parent).parts[:-1]):
            return False
        return (
            path.suffix in DATA_SUFFIXES
            or path.name.startswith(".env")
            or (self.broken and path.suffix == ".py")
        )

    def _renew(self, path: Path) -> bool:
        digest = _digest(path)
        if self._digests.get(path, "") == digest:
            return False
        self._digests[path] = digest
        return True

    def _look(self) -> None:
        """Know all that is there, so that only what changes from now on counts."""
        for folder in self.folders():
            for path in _files(folder):
                if path not in self._digests and self._matters(path):
                    self._digests[path] = _digest(path)


def _digest(path: Path) -> str:
    """Of a file's content; "" if there is none."""
    try:
        facts = path.stat()
        if facts.st_size > HASHED_BYTES:
            return f"{facts.st_size} {facts.st_mtime_ns}"
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


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
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
