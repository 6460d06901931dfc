"""The list of what is replaced in pipecat fits the version that is installed."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs_pipecat


def test_everything_that_is_replaced_or_read_is_still_there() -> None:
    import pipecat

    from runner.integrations.pipecat import patches

    moved = list(patches.problems())
    assert not moved, (
        f"pipecat {pipecat.__version__} has moved what runner/integrations/pipecat/patches.py replaces. "
        "Follow it there: " + "; ".join(moved)
    )


def test_a_patch_that_does_not_fit_is_named_with_its_reason() -> None:
    from runner.integrations.pipecat import patches

    gone = patches.Patch(
        module="pipecat.workers.runner",
        name="WorkerRunner._setup_sighup",
        takes=(),
        why="botrun handles it",
        replace=lambda method: method,
    )
    assert patches.problem_of(gone) == "pipecat.workers.runner has no WorkerRunner._setup_sighup"
