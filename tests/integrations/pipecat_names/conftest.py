"""What these tests share: an import finder that knows the test's bot, and no other's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
from pipecat_bots import BOTS

from runner.integrations.pipecat_names.finder import Finder, OursFinder
from runner.integrations.pipecat_names.installed import PIPECAT

sys.path.append(str(Path(__file__).parents[2] / "transports" / "daily"))  # fake_daily.py


Find = Callable[[str, Sequence[str] | None, Any], ModuleSpec | None]


@pytest.fixture(autouse=True)
def no_pipecat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides a Pipecat that is installed where the tests run; one that a test installs is found."""
    find: Find = PathFinder.find_spec
    installed = find(PIPECAT, None, None)
    if installed is None:
        return

    def find_others(
        kind: type, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        spec = find(name, path, target)
        return None if name == PIPECAT and spec is not None and spec.origin == installed.origin else spec

    monkeypatch.setattr(PathFinder, "find_spec", classmethod(find_others))
    for name in [name for name in sys.modules if name.partition(".")[0] == PIPECAT]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture(autouse=True)
def own_finder(monkeypatch: pytest.MonkeyPatch, no_pipecat: None) -> Iterator[None]:
    """Each test installs its own, and leaves none of its bots behind."""
    others = [finder for finder in sys.meta_path if not isinstance(finder, Finder | OursFinder)]
    monkeypatch.setattr(sys, "meta_path", others)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in sys.modules.keys() - modules:
        if not name.startswith("runner"):
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith((str(BOTS), "/tmp")):
                del sys.modules[name]
