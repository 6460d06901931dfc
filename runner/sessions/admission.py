"""Whether a worker of `botrun serve` takes a further call: capacity, slots that are reserved, draining.

A slot is reserved when a call is announced (`/start`) and claimed when it comes, so that nobody is refused
who was promised a bot. Calls through a provider's webhook reserve theirs in the run's ledger
(`server/public/ledger.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STOPPING = "botrun is stopping and accepts no more calls"
RETRY_AFTER_S = 10
"""What a refused client is asked to wait (s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLoad:
    """What all workers of a run carry together.

    Attributes:
        used: share of the capacity that is in use; 1 and more is full.
        calls: under way, or announced.
        capacity: how many calls the workers carry; 0 if it is not known, and lag and CPU decide.
        workers: that accept calls.
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
    """The gate of one worker.

    Args:
        calls: the most that this worker takes; 0 is no limit.
        clock: seconds; only goes forward.

    Attributes:
        run: what the whole run carries, as the supervisor last reported it.
        draining: whether the run or this worker accepts no more calls.
    """

    def __init__(self, calls: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._clock = clock
        self._reserved: dict[str, float] = {}
        self.run = RunLoad()
        self.draining = False

    def refusal(self, active: int) -> str:
        """Why a call that nobody announced is refused, while `active` are under way; "" if it is accepted."""
        if self._calls and active + self.reserved >= self._calls and not self.draining:
            return f"this worker is at capacity ({active} of {self._calls} calls); try again later"
        return self.run_refusal

    @property
    def run_refusal(self) -> str:
        """The same for the run, whichever worker gets the call."""
        if self.draining:
            return STOPPING
        return self.run.refusal

    @property
    def reserved(self) -> int:
        """Slots of calls that were announced and have not come."""
        now = self._clock()
        for key, until in list(self._reserved.items()):
            if until < now:
                del self._reserved[key]
        return len(self._reserved)

    def reserve(self, key: str, life_s: float) -> None:
        """Hold a slot for the call of this key."""
        self._reserved[key] = self._clock() + life_s

    def holds(self, key: str) -> bool:
        """Whether a slot is held for this key."""
        return self._reserved.get(key, 0.0) >= self._clock()

    def claim(self, key: str) -> None:
        """The call of this key has come."""
        self._reserved.pop(key, None)
