"""How much of a run's capacity is in use, from what its workers report. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from runner.sessions.admission import RunLoad
from runner.worker.messages import WorkerLoad

FULL_CPU = 0.85
"""Cores that a worker may use before no more calls are accepted: above, sound is late."""

FULL_LAG_MS = 40.0
"""The same for its event loop's lag (p95): two packets of sound."""


def carried(loads: Sequence[WorkerLoad], per_worker: int, most: int = 0) -> RunLoad:
    """What these workers carry together.

    Args:
        loads: of the workers that accept calls.
        per_worker: calls that one carries; 0 if that is not known.
        most: calls that the run may have; 0 is no limit.
    """
    calls = sum(load.calls + load.reserved for load in loads)
    capacity = min((limit for limit in (per_worker * len(loads), most) if limit), default=0)
    if not loads:
        used = 1.0
    elif per_worker or not (busy := [_busy(load) for load in loads]):
        used = calls / capacity
    else:
        used = max(sum(busy) / len(busy), calls / capacity if capacity else 0.0)
    return RunLoad(used=round(used, 2), calls=calls, capacity=capacity, workers=len(loads))


def carried_apart(loads: Sequence[WorkerLoad], workers: int, most: int, cores: int) -> RunLoad:
    """The same, where each call has a process of its own, which alone may fill a core.

    Args:
        loads: of all processes.
        workers: how many accept.
        most: calls that the run may have; 0 if CPU alone decides.
        cores: of this machine.
    """
    calls = sum(load.calls + load.reserved for load in loads)
    used = sum(load.cpu for load in loads) / (cores * FULL_CPU)
    if most:
        used = calls / most
    return RunLoad(used=round(used, 2) if workers else 1.0, calls=calls, capacity=most, workers=workers)


def _busy(load: WorkerLoad) -> float:
    return max(load.cpu / FULL_CPU, load.lag_ms / FULL_LAG_MS if load.calls else 0.0)
