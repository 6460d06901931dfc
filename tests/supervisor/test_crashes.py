"""A bot whose process keeps crashing is started again with growing pauses, and then no more until a save."""

from __future__ import annotations

import pytest

from runner.supervisor import processes
from runner.supervisor.processes import MOST_CRASHES, CrashLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(processes, "time", clock)
    return clock


def test_the_pauses_grow_and_the_sixth_crash_is_the_last(clock: Clock) -> None:
    crashes = CrashLimiter()
    assert [crashes.crashed() for _ in range(6)] == [0.0, 0.5, 1.0, 2.0, 4.0, None]
    crashes.forget()
    assert crashes.crashed() == 0.0


def test_a_process_that_ran_for_long_begins_the_count_again(clock: Clock) -> None:
    crashes = CrashLimiter()
    for _ in range(MOST_CRASHES - 1):
        crashes.crashed()
    clock.now += processes.STEADY_S + 1
    assert (crashes.crashed(), crashes.count) == (0.0, 1)
