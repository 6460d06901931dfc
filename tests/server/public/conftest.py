"""What the tests of the public port share: providers' tries follow each other quickly."""

from __future__ import annotations

import pytest

from runner.providers import rest

SCALE = 10


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that a provider refuses is repeated as often as in a run, only sooner."""
    monkeypatch.setattr(rest, "PAUSE_S", rest.PAUSE_S / SCALE)


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that hangs is given up after a tenth of the time, in the same number of tries."""
    monkeypatch.setattr(rest, "TRY_S", rest.TRY_S / SCALE)
    monkeypatch.setitem(rest.Rest.call.__kwdefaults__, "deadline_s", rest.DEADLINE_S / SCALE)
