"""What these tests share: an import finder that knows the test's bot, and no other's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipecat_bots import BOTS

from runner.integrations.pipecat_names.finder import Finder, OursFinder

sys.path.append(str(Path(__file__).parents[2] / "transports" / "daily"))  # fake_daily.py


@pytest.fixture(autouse=True)
def own_finder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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
