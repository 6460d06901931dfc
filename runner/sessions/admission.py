"""Decides whether a worker of `botrun serve` accepts another call: capacity, reserved slots, draining.

`/start` reserves a slot and the call claims it when it connects, so a call that was announced is not refused.
Calls through a provider's webhook reserve their slot in the run's ledger (`server/public/ledger.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STOPPING = "botrun is stopping and accepts no more calls"
RETRY_AFTER_S = 10
"""Time (s) after which a refused client may try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLoad:
    """The load of all workers of a run together.

    Attributes:
        used: share of the capacity in use; 1 or more means full.
        calls: number of active and announced calls.
        capacity: maximum number of calls of all workers; 0 if unknown, then lag and CPU decide.
        workers: number of workers that accept calls.
    """

    used: float = 0.0
    calls: int = 0
    capacity: int = 0
    workers: int = 1

    @property
    def refusal(self) -> str:
        """Why a further call would be refused; "" if it would be accepted."""
        if self.used < 1.0:
            return ""
        carried = f"{self.calls} of {self.capacity}" if self.capacity else str(self.calls)
        return f"this server is at capacity ({carried} calls); try again later"


class Admission:
    """Admission of calls to one worker.

    Args:
        calls: maximum number of concurrent calls of this worker; 0 = unlimited.
        clock: monotonic time (s).

    Attributes:
        run: the load of the whole run, as the supervisor last reported it.
        draining: whether the run or this worker accepts no more calls.
    """

    def __init__(self, calls: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._reserved: dict[str, float] = {}
        self.run = RunLoad()
        self.draining = False

    def refusal(self, active: int) -> str:
        """Why a call without a reserved slot is refused, given `active` calls; "" if it is accepted."""
        if self._calls and active + self.reserved >= self._calls and not self.draining:
            return f"this worker is at capacity ({active} of {self._calls} calls); try again later"
        return self.run_refusal

    @property
    def run_refusal(self) -> str:
        """Why the whole run refuses a call, on any worker; "" if it accepts it."""
        if self.draining:
            return STOPPING
        return self.run.refusal

    @property
    def reserved(self) -> int:
        """Number of reserved slots that have not been claimed."""
        now = self._clock()
        for key, until in list(self._reserved.items()):
            if until < now:
                del self._reserved[key]
        return len(self._reserved)

    def reserve(self, key: str, life_s: float) -> None:
        """Reserve a slot for the call with this key, for `life_s`."""
        self._reserved[key] = self._clock() + life_s

    def holds(self, key: str) -> bool:
        """Whether a slot is reserved for this key."""
        return self._reserved.get(key, 0.0) >= self._clock()

    def claim(self, key: str) -> None:
        """The call with this key has connected."""
        self._reserved.pop(key, None)
