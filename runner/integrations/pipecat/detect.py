"""Whether a bot is one of Pipecat's: what its files import, found without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from runner.integrations.pipecat_names import installed

MOST_FILES = 200
"""Number of files beside a bot that are read."""

OWN_ENGINE = "runner"


def is_pipecat_bot(bot: Path) -> bool:
    """Whether the bot's files import pipecat, which is installed, and not botrun's own engine."""
    tops = {name.partition(".")[0] for name in imported_modules(bot)}
    if "pipecat" not in tops or (OWN_ENGINE in tops and not _lies_beside(bot, OWN_ENGINE)):
        return False
    return is_installed()


def is_installed() -> bool:
    """Whether pipecat can be imported with what it always needs; a `--no-deps` installation cannot."""
    return installed.is_usable()


def pipecat_modules(bot: Path) -> list[str]:
    """The modules of pipecat that the bot's files import, in order."""
    names = (name for name in imported_modules(bot) if name.partition(".")[0] == "pipecat")
    return [name for name in names if not name.startswith("pipecat.runner.run")]


def imported_modules(bot: Path) -> tuple[str, ...]:
    """Modules that the bot's file imports, and those files beside it that it imports."""
    try:
        changed = bot.stat().st_mtime_ns
    except OSError:
        return ()
    return _imported_modules(bot, changed)


@lru_cache(maxsize=8)
def _imported_modules(bot: Path, changed: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting, read = [bot], set[Path]()
    while waiting and len(read) < MOST_FILES:
        file = waiting.pop()
        if file in read:
            continue
        read.add(file)
        for name in _imports(file):
            found[name] = None
            waiting += _neighbours(bot.parent, name)
    return tuple(found)


def _imports(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import names a file of the bot's own package.
            yield node.module or "" if node.level else str(node.module)


def _neighbours(folder: Path, module: str) -> list[Path]:
    """The files beside the bot that `import module` may run."""
    place = folder.joinpath(*module.split(".")) if module else folder
    candidates = [place.with_suffix(".py"), place / "__init__.py"] if module else [*folder.glob("*.py")]
    return [file for file in candidates if file.is_file()]


def _lies_beside(bot: Path, name: str) -> bool:
    return (bot.parent / f"{name}.py").is_file() or (bot.parent / name).is_dir()
