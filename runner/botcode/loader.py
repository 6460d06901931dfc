"""Loads the bot that the user named (`FILE` or `FILE:function`).

The file is imported once, by path. Its folder is appended to `sys.path`, after everything installed, so a bot
called `json.py` or `daily.py` does not shadow the library of that name. Nothing else in the folder runs.

The user's files are compiled from source every time, without Python's bytecode files. Python takes such a
file as current if the source has the same size and the same modification second. So a second save within one
second that keeps the length (`version 1` to `version 2`) would load the old code.
"""

from __future__ import annotations

import importlib.util
import inspect
import logging
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.botcode.failure import explain
from runner.errors import BotLoadError
from runner.settings.parsing import did_you_mean, nearest

logger = logging.getLogger(__name__)

BotFunction = Callable[[Any], Awaitable[None]]

DEFAULT_FUNCTION = "bot"
HOW_TO_WRITE = "write `async def bot(runner_args)`"
MODULES_CHECKED_FOR_SHADOWS = 200
LONGEST_SHOWN = 60
INSTALLED = {"site-packages", "dist-packages"}
OURS = Path(__file__).parents[1]

_folders: list[Path] = []


@dataclass(frozen=True, slots=True)
class BotTarget:
    """An existing bot file, and the function named by the user, if any."""

    path: Path
    function_name: str | None = None


@dataclass(frozen=True)
class LoadedBot:
    """A bot that can be called.

    Attributes:
        routes: Starlette routes that the bot's code added to the server.
        finished: returns when none of the bot's work is still running after its calls; None if there is none.
    """

    path: Path
    function_name: str
    function: BotFunction
    module: ModuleType
    routes: tuple[Any, ...] = ()
    finished: Callable[[], Awaitable[None]] | None = None


class NoBotFunctionError(BotLoadError):
    """The file has no function that can be the bot."""


# ------------------------------------------------------------------ the target


def parse_target(text: str) -> BotTarget:
    """Split FILE:function and check that the file is a Python file. Runs nothing.

    Raises:
        BotLoadError: the file does not exist, or cannot be a bot.
    """
    try:
        return _target(*_split(text))
    except OSError as error:  # the name is too long, or a folder is not accessible
        shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
        raise BotLoadError(f"{shown} cannot be read: {error.strerror}") from None


def _target(path: Path, function_name: str | None) -> BotTarget:
    if path.is_dir():
        raise BotLoadError(f"{path} is a folder; name the bot's file{_files_in(path)}")
    if path.is_symlink() and not path.exists():
        raise BotLoadError(f"{path} is a link to {path.readlink()}, which is not there")
    if not path.exists():
        raise BotLoadError(f"there is no file {path}{_files_near(path)}")
    if path.suffix != ".py" or not path.is_file():
        raise BotLoadError(f"{path} is not a Python file (.py)")
    return BotTarget(path.resolve(), function_name)


def _split(text: str) -> tuple[Path, str | None]:
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), None
    if not tail.isidentifier():
        raise BotLoadError(f"in {text!r}, {tail!r} is not the name of a function")
    return Path(head), tail


def _python_files(folder: Path) -> list[str]:
    try:
        return sorted(
            item.name for item in folder.iterdir() if item.suffix == ".py" and item.name != "__init__.py"
        )
    except OSError:
        return []


def _files_in(folder: Path) -> str:
    names = _python_files(folder)[:5]
    return (
        f", such as {folder / names[0]}"
        if len(names) == 1
        else f": one of {', '.join(names)}"
        if names
        else ""
    )


def _files_near(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    names = _python_files(path.parent)
    by_stem = {Path(name).stem: name for name in names}
    near = nearest(path.name, names) or by_stem.get(nearest(path.stem, list(by_stem)), "")
    return f"; did you mean {path.with_name(near)}?" if near else ""


# ------------------------------------------------------------------ import


def load_bot(target: BotTarget) -> LoadedBot:
    """Import the bot's file and find its function.

    Raises:
        BotCrashError: its code failed.
        MissingPackageError: it needs a package that is not installed.
        BotLoadError: it has no function that can be the bot.
    """
    compile_always(_top_folder(target.path))
    _make_importable(target.path)
    module = _import(target.path)
    name, function = _choose(target, module)
    return LoadedBot(target.path, name, function, module)


def _top_folder(path: Path) -> Path:
    """The folder from which the bot's own modules are imported."""
    found = package_of(path)
    return path.parent if found is None else found[0]


def _make_importable(path: Path) -> None:
    folder = str(path.parent)
    if folder not in sys.path:
        for name in _hidden(path):
            logger.warning(
                "%s beside the bot is hidden: `import %s` finds the library of that name", name, name
            )
        sys.path.append(folder)


def _hidden(path: Path) -> Iterator[str]:
    """Modules beside the bot that cannot be imported because an installed module has their name."""
    neighbours = [Path(name).stem for name in _python_files(path.parent) if name != path.name]
    for name in neighbours[:MODULES_CHECKED_FOR_SHADOWS]:
        if is_taken(name):
            yield name


def is_taken(name: str) -> bool:
    """Whether `import name` finds an installed module rather than one beside the bot."""
    return name in sys.stdlib_module_names or name in sys.modules or PathFinder.find_spec(name) is not None


def module_name(path: Path) -> str:
    """The file's stem, so that files beside it can import it, unless it is taken or not an identifier."""
    stem = path.stem
    if stem.isidentifier() and stem not in sys.stdlib_module_names and stem not in sys.modules:
        found = PathFinder.find_spec(stem)
        if found is None or (found.origin and Path(found.origin) == path):
            return stem
    return "botrun_bot_" + re.sub(r"\W", "_", stem)


def package_of(path: Path) -> tuple[Path, str] | None:
    """The folder that contains the bot's package, and the package's name; None if it is in no package."""
    folder, names = path.parent, list[str]()
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    if not names or not path.stem.isidentifier():
        return None
    if names[0] in sys.stdlib_module_names:
        return None
    there = PathFinder.find_spec(names[0])  # finds the package itself if its parent folder is on the path
    is_free = there is None or there.origin == str(folder / names[0] / "__init__.py")
    return (folder, ".".join(names)) if is_free else None


def _enter_package(path: Path) -> str:
    """Import the bot's package, so that `from .x import y` works; return the bot's module name."""
    found = package_of(path)
    if found is None:
        return module_name(path)
    folder, package = found
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        importlib.import_module(package)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the package's own code, as below
        raise explain(error, path) from error
    return f"{package}.{path.stem}"


def _import(path: Path) -> ModuleType:
    name = _enter_package(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise BotLoadError(f"{path} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code: SystemExit and the like end here as well
        del sys.modules[name]
        raise explain(error, path) from error
    return module


# ------------------------------------------------------------------ the function


def _choose(target: BotTarget, module: ModuleType) -> tuple[str, BotFunction]:
    name = target.function_name or DEFAULT_FUNCTION
    if hasattr(module, name):
        return name, _checked(target.path, name, getattr(module, name))
    candidates = _candidates(module)
    if target.function_name:
        raise BotLoadError(
            f"there is no function {name}{_listed(target.path, candidates, name)}", target.path
        )
    if len(candidates) == 1:
        return candidates[0], _checked(target.path, candidates[0], getattr(module, candidates[0]))
    several = "several functions could be the bot" if candidates else "there is no function bot"
    raise NoBotFunctionError(f"{several}{_listed(target.path, candidates, name)}", target.path)


def _candidates(module: ModuleType) -> list[str]:
    """Coroutine functions defined in this file that take runner arguments."""
    return [
        name
        for name, value in vars(module).items()
        if inspect.iscoroutinefunction(value)
        and value.__module__ == module.__name__
        and _takes_arguments(value)
    ]


def _takes_arguments(function: Callable[..., Any]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and (
        first.name in {"runner_args", "runner_arguments"} or "RunnerArguments" in str(first.annotation)
    )


def _listed(path: Path, candidates: list[str], wanted: str) -> str:
    if not candidates:
        return f"; {HOW_TO_WRITE}"
    near = did_you_mean(wanted, candidates)
    return near if near else "; name one: " + ", ".join(f"{path.name}:{name}" for name in candidates)


def _checked(path: Path, name: str, function: Any) -> BotFunction:
    line = _line_of(function)
    if not callable(function):
        raise BotLoadError(
            f"{name} is not a function but {type(function).__name__}; {HOW_TO_WRITE}", path, line
        )
    if inspect.isasyncgenfunction(inspect.unwrap(function)):
        raise BotLoadError(f"{name} has a yield, which makes it a generator; remove the yield", path, line)
    if not _is_async(function):
        raise BotLoadError(f"{name} is not async; {HOW_TO_WRITE}", path, line)
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise BotLoadError(f"{name} must take one argument; {HOW_TO_WRITE}", path, line) from None
    return function  # type: ignore[no-any-return]


def _is_async(function: Any) -> bool:
    """Whether it is async, also behind a plain decorator (`functools.wraps`)."""
    return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
        type(function).__call__
    )


def _line_of(function: Any) -> int | None:
    code = getattr(inspect.unwrap(function) if callable(function) else function, "__code__", None)
    return code.co_firstlineno if code else None


class SourceLoader(SourceFileLoader):
    """Loads a module from its source; reads and writes no bytecode file."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(f"{path}: bytecode files are not used")  # importlib then compiles the source


def compile_always(folder: Path) -> None:
    """From now on, compile modules in and below this folder from source, except installed ones."""
    folder = folder.resolve()
    if folder in _folders:
        return
    if not _folders:
        sys.path_hooks.insert(0, _finder)
    _folders.append(folder)
    for known in [path for path in sys.path_importer_cache if _is_users(path)]:
        del sys.path_importer_cache[known]


def _is_users(path: str) -> bool:
    place = Path(path).resolve()
    return (
        any(place.is_relative_to(folder) for folder in _folders)
        and INSTALLED.isdisjoint(place.parts)
        and not place.is_relative_to(OURS)
    )


def _finder(path: str) -> FileFinder:
    if not Path(path).is_dir() or not _is_users(path):
        raise ImportError(path=path)
    return FileFinder(
        path,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (SourceLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )
