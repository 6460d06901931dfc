"""Slots of a worker of `botrun serve`."""

from __future__ import annotations

from runner.sessions.admission import Admission, RunLoad


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_announced_call_holds_a_slot_until_it_comes_or_is_late() -> None:
    clock = Clock()
    admission = Admission(calls=2, clock=clock)
    admission.reserve("a", 60.0)
    assert admission.refusal(1) == "this worker is at capacity (1 of 2 calls); try again later"
    assert admission.refusal(0) == ""
    assert admission.holds("a")
    admission.claim("a")
    assert (admission.reserved, admission.holds("a")) == (0, False)
    admission.reserve("b", 60.0)
    clock.now += 61.0
    assert (admission.reserved, admission.holds("b")) == (0, False)


def test_a_full_run_and_one_that_drains_refuse() -> None:
    admission = Admission()
    assert admission.refusal(1000) == ""
    admission.run = RunLoad(used=1.0, calls=7, capacity=7)
    assert (
        admission.refusal(0)
        == admission.run_refusal
        == ("this server is at capacity (7 of 7 calls); try again later")
    )
    admission.run = RunLoad()
    admission.draining = True
    assert "is stopping" in admission.refusal(0)
