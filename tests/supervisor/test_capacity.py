"""How much of a run's capacity is in use."""

from __future__ import annotations

from runner.sessions.admission import RunLoad
from runner.supervisor.capacity import FULL_CPU, FULL_LAG_MS, carried
from runner.worker.messages import WorkerLoad


def load(calls: int = 0, reserved: int = 0, cpu: float = 0.1, lag_ms: float = 0.5) -> WorkerLoad:
    return WorkerLoad(calls=calls, reserved=reserved, cpu=cpu, lag_ms=lag_ms, memory_mb=50.0)


def test_calls_are_counted_against_what_was_measured() -> None:
    carries = carried([load(30), load(9, reserved=1)], per_worker=100)
    assert carries == RunLoad(used=0.2, calls=40, capacity=200, workers=2)
    assert carries.refusal == ""
    assert "(200 of 200 calls)" in carried([load(150), load(50)], per_worker=100).refusal


def test_without_a_measured_capacity_lag_and_cpu_decide() -> None:
    assert carried([load(5), load(5)], 0).refusal == ""
    assert carried([load(5, cpu=FULL_CPU)] * 2, 0).refusal == (
        "this server is at capacity (10 calls); try again later"
    )
    assert carried([load(5, lag_ms=FULL_LAG_MS)] * 2, 0).used == 1.0
    assert carried([load(5, cpu=FULL_CPU), load(5, cpu=0.0)], 0).used < 1.0, "the other has room"
    assert carried([load(0, lag_ms=500.0)], 0).used < 1.0, "the machine is slow, but nobody is there"


def test_the_limit_of_the_run_holds_beside_both() -> None:
    assert carried([load(3), load(2)], 0, most=5).used == 1.0
    assert carried([load(3), load(2)], 100, most=50).capacity == 50


def test_without_workers_nothing_is_accepted() -> None:
    assert carried([], 100).refusal
