"""Imports of `pipecat…` by the bot's own files find our names, where Pipecat itself is not installed.

Libraries that probe for Pipecat must not find it. So the modules stand in `sys.modules` only while an import
statement of the bot runs: they leave with the first name that is read from them, with the next import of
anything else in that thread, and when the bot is loaded.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

from runner.botcode.failure import install_command
from runner.botcode.location import is_users_file
from runner.errors import UsageError
from runner.integrations.pipecat_names import moved
from runner.integrations.pipecat_names.installed import DISTRIBUTION, PIPECAT, why_absent
from runner.integrations.pipecat_names.table import ALSO, MODULES, PACKAGES, SHADOWED, instead_of

logger = logging.getLogger(__name__)

OURS = "runner"


class PipecatNameError(UsageError, ModuleNotFoundError):
    """A name of Pipecat's that botrun's engine lacks. Code that tries imports takes it for what it is."""


# ------------------------------------------------------------------ modules


class AliasModule(ModuleType):
    """A module of Pipecat's path with names of ours."""

    def __init__(self, name: str, finder: Finder) -> None:
        super().__init__(name, "Names of botrun's under Pipecat's path.")
        self.__dict__["_finder"] = finder

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or is_known(f"{path_of(self.__name__)}.{name}".lstrip(".")):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        finder: Finder = self.__dict__["_finder"]
        finder.clear()
        for source in sources_of(path_of(self.__name__)):
            if hasattr(module := import_module(source), name):
                return getattr(module, name)
        raise PipecatNameError(finder.sentence(f"{name} of {self.__name__}", self.__name__, name))

    def __dir__(self) -> Iterable[str]:
        sources = map(import_module, sources_of(path_of(self.__name__)))
        return sorted({name for source in sources for name in dir(source)})


class _AliasLoader(Loader):
    def __init__(self, module: AliasModule) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """All names are looked up when they are asked for."""


def path_of(module: str) -> str:
    """`pipecat.frames.frames` and `runner.frames.frames` are "frames.frames"."""
    return module.partition(".")[2]


def is_known(path: str) -> bool:
    return not path or path in MODULES or path in PACKAGES


def sources_of(path: str) -> Sequence[str]:
    return MODULES.get(ALSO.get(path, path), ())


# ------------------------------------------------------------------ finders


class Finder(MetaPathFinder):
    """Stands before Python's own finders, and answers only to the bot's files.

    Args:
        bot: the bot's file; None where it is not known, as in a test of the user's.
    """

    def __init__(self, bot: Path | None = None) -> None:
        self.bot = bot
        self._absent: str | None = None
        self._modules: dict[str, AliasModule] = {}
        self._shown: set[str] = set()
        self._thread = 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if top != PIPECAT:
            parent = fullname.rpartition(".")[0]
            if self._shown and parent not in self._shown and self._thread == threading.get_ident():
                self.clear()
            return _opened(fullname, path) if fullname in SHADOWED else None
        if not self.is_asked_by_the_bot():
            return None
        if self._absent is None:
            self._absent = why_absent()
            if self._absent:
                name = self.bot.name if self.bot is not None else "the bot"
                logger.info("%s runs on botrun's own engine: %s", name, self._absent)
        if not self._absent:
            return None
        if not is_known(path_of(fullname)):
            raise PipecatNameError(self.sentence(fullname, fullname))
        return self.spec(fullname)

    def spec(self, fullname: str) -> ModuleSpec:
        """The spec of an alias; its module is the same each time."""
        module = self._modules.setdefault(fullname, AliasModule(fullname, self))
        self._shown.add(fullname)
        self._thread = threading.get_ident()
        is_package = fullname == PIPECAT or path_of(fullname) in PACKAGES
        return ModuleSpec(fullname, _AliasLoader(module), is_package=is_package)

    def clear(self) -> None:
        """Take the aliases out of `sys.modules`."""
        while self._shown:
            sys.modules.pop(self._shown.pop(), None)

    def is_asked_by_the_bot(self) -> bool:
        """Whether an import statement of the bot's own files is under way; not a probe with `find_spec`."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            file = frame.f_code.co_filename
            if "importlib.util" in file or file.endswith("importlib/util.py"):
                return False
            if not file.startswith("<frozen importlib") and file not in _PASSED:
                return is_users_file(Path(file), self.bot)
            frame = frame.f_back
        return False

    def sentence(self, what: str, module: str, name: str = "") -> str:
        """What to do about something of Pipecat's that is not here."""
        instead = instead_of(path_of(module), name)
        use = f"Use {instead}, or install" if instead else "Install"
        command = install_command(DISTRIBUTION)
        return f"botrun's own engine has no {what}. {use} pipecat to run the bot unchanged: {command}"


class OursFinder(MetaPathFinder):
    """Stands behind Python's own finders: Pipecat's paths below `runner.` instead of `pipecat.`."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top != OURS or not rest or not is_known(rest) or not self._finder.is_asked_by_the_bot():
            return None
        return self._finder.spec(fullname)


_PASSED = frozenset((__file__, moved.__file__, str(import_module.__code__.co_filename)))
"""Files between the bot's import statement and a finder."""


def _opened(fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """One of our plain modules, as a package in which further names can be found."""
    spec = PathFinder.find_spec(fullname, path)
    if spec is not None and spec.submodule_search_locations is None:
        spec.submodule_search_locations = []
    return spec


def open_loaded() -> None:
    """Do the same with modules that were imported before."""
    for name in SHADOWED & sys.modules.keys():
        if not hasattr(sys.modules[name], "__path__"):
            sys.modules[name].__path__ = []
