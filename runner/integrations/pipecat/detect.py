"""Whether a bot is one of Pipecat's: what its files import, found without running them."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from runner.errors import BotLoadError
from runner.integrations.pipecat_names import installed

MOST_FILES = 200
"""Number of files beside a bot that are read."""

OWN_ENGINE = "runner"

TOOLS = frozenset(("audio", "transcriptions", "utils"))
"""Packages of pipecat that a bot on botrun's own engine can use."""


def is_pipecat_bot(bot: Path) -> bool:
    """Whether the bot runs on pipecat, which is installed, and not on botrun's own engine."""
    if _own_engine(bot) and not _their_engine(bot):
        return False
    return any(name.partition(".")[0] == "pipecat" for name in imported_modules(bot)) and is_installed()


def check_one_engine(bot: Path) -> None:
    """See that a bot of Pipecat's takes nothing from botrun's own engine.

    Raises:
        BotLoadError: it does; its calls have one kind of arguments, transports and frames.
    """
    ours, theirs = _own_engine(bot), _their_engine(bot)
    if ours and theirs:
        found = imported_modules(bot)
        place, other = found[ours], found[theirs]
        raise BotLoadError(
            f"the bot mixes two engines: it imports {ours} here, and {theirs} at "
            f"{other.file.name}:{other.line}. Import both from pipecat; botrun runs that unchanged",
            place.file,
            place.line,
        )


def _own_engine(bot: Path) -> str | None:
    """The first module of botrun's that the bot imports."""
    if _lies_beside(bot, OWN_ENGINE):
        return None
    names = imported_modules(bot)
    return next((name for name in names if name.partition(".")[0] == OWN_ENGINE), None)


def _their_engine(bot: Path) -> str | None:
    """The first module of pipecat's engine that the bot imports."""
    parts = ((name, name.split(".")) for name in imported_modules(bot))
    return next(
        (name for name, (top, *rest) in parts if top == "pipecat" and rest and rest[0] not in TOOLS), None
    )


def is_installed() -> bool:
    """Whether pipecat can be imported with what it always needs; a `--no-deps` installation cannot."""
    return installed.is_usable()


def pipecat_modules(bot: Path) -> list[str]:
    """The modules of pipecat that the bot's files import, in order."""
    names = (name for name in imported_modules(bot) if name.partition(".")[0] == "pipecat")
    return [name for name in names if not name.startswith("pipecat.runner.run")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module is imported first."""

    file: Path
    line: int


def imported_modules(bot: Path) -> Mapping[str, Place]:
    """Modules that the bot's file imports, and those files beside it that it imports."""
    try:
        changed = bot.stat().st_mtime_ns
    except OSError:
        return {}
    return _imported_modules(bot, changed)


@lru_cache(maxsize=8)
def _imported_modules(bot: Path, changed: int) -> Mapping[str, Place]:
    found: dict[str, Place] = {}
    waiting, read = [bot], set[Path]()
    while waiting and len(read) < MOST_FILES:
        file = waiting.pop()
        if file in read:
            continue
        read.add(file)
        for name, line in _imports(file):
            found.setdefault(name, Place(file, line))
            waiting += _neighbours(bot.parent, name)
    return MappingProxyType(found)


def _imports(file: Path) -> Iterator[tuple[str, int]]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import names a file of the bot's own package.
            yield (node.module or "" if node.level else str(node.module)), node.lineno


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without what is imported only where another import has failed."""
    waiting = deque([tree])
    while waiting:
        node = waiting.popleft()
        yield node
        is_attempt = isinstance(node, ast.Try) and any(
            isinstance(tried, ast.Import | ast.ImportFrom) for tried in node.body
        )
        children = ast.iter_child_nodes(node)
        waiting.extend(
            child for child in children if not (is_attempt and isinstance(child, ast.ExceptHandler))
        )


def _neighbours(folder: Path, module: str) -> list[Path]:
    """The files beside the bot that `import module` may run."""
    place = folder.joinpath(*module.split(".")) if module else folder
    candidates = [place.with_suffix(".py"), place / "__init__.py"] if module else [*folder.glob("*.py")]
    return [file for file in candidates if file.is_file()]


def _lies_beside(bot: Path, name: str) -> bool:
    return (bot.parent / f"{name}.py").is_file() or (bot.parent / name).is_dir()
