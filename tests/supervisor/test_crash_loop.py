"""Workers of `botrun serve` that end unasked."""

from __future__ import annotations

import time

from runner.supervisor.crash_loop import LASTS_S, LONGEST_WAIT_S, CrashLoop


def test_a_worker_that_lasted_is_replaced_at_once() -> None:
    crashes = CrashLoop()
    assert [crashes.ended(time.monotonic() - LASTS_S) for _ in range(5)] == [0.0] * 5
    assert not crashes.is_loop


def test_workers_that_end_soon_are_replaced_later_and_later() -> None:
    crashes = CrashLoop()
    waits = [crashes.ended(time.monotonic()) for _ in range(5)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert crashes.is_loop
    assert [crashes.ended(None) for _ in range(9)][-1] == LONGEST_WAIT_S


def test_the_end_of_a_loop_is_noticed_once() -> None:
    crashes = CrashLoop()
    for _ in range(3):
        crashes.ended(None)
    assert (crashes.lasts(), crashes.lasts()) == (True, False)
