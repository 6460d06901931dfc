"""`botrun load`: many simulated callers at once, and what they measure of a server. Here: which load to make.

cli/load         → load_processes.py  starts the bot and the processes of callers, reads the server's counters
                 → worker.py          one process of callers; its calls are in calls.py
                 → report.py          merges all measurements into figures and a verdict, and
                                      searches for the most calls that a server carries
                 → chart.py           latency over calls

Times in seconds; those that end in `_at` are on `time.monotonic`'s clock, which all processes of a machine
share.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

ECHO, TALK = "echo", "talk"

SETTLE_S = 2.0
"""After the last call has begun, so much passes before anything is measured (half as much as is measured, if
that is less)."""

ANSWER_TIMEOUT_S = 20.0

LATE_STEP_MS = 0.1
"""Lateness is counted in steps of so much."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """A load.

    Attributes:
        transport: "twilio", "telnyx", "plivo", "exotel", "websocket" or "webrtc".
        calls: how many at once.
        duration_s: how long is measured, once all calls stand.
        ramp_s: over how long the calls begin.
        scenario: "echo" for a bot that echoes, else a scenario's name or file.
        procs: processes of callers.
        file: the bot to start; None rings `url`.
        url: of a running server: `ws://…` of its media socket; for WebRTC `http://…`.
        pid: the server's process, if it is known.
        body: what the bot that is started finds in its `body`.
        insecure: whether any certificate will do.
    """

    transport: str
    calls: int
    duration_s: float
    ramp_s: float
    scenario: str = ECHO
    procs: int = 1
    file: str | None = None
    url: str | None = None
    pid: int | None = None
    body: str | None = None
    insecure: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """What one process of callers does. `numbers` are its calls', of all `calls`."""

    transport: str
    url: str
    scenario: str
    numbers: tuple[int, ...]
    calls: int
    duration_s: float
    ramp_s: float
    insecure: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerPlan:
        found: dict[str, Any] = json.loads(text)
        return cls(**{**found, "numbers": tuple(found["numbers"])})


@dataclass(frozen=True, slots=True)
class Schedule:
    """When what happens, from `start_at` on."""

    start_at: float
    ramp_s: float
    duration_s: float

    def opens_at(self, number: int, calls: int) -> float:
        """When a call begins."""
        return self.start_at + self.ramp_s * number / calls

    @property
    def from_at(self) -> float:
        """When measuring begins."""
        return self.start_at + self.ramp_s + min(SETTLE_S, self.duration_s / 2)

    @property
    def until_at(self) -> float:
        """When it ends."""
        return self.from_at + self.duration_s

    def measured(self, stopped_at: float | None) -> tuple[float, float]:
        """What is measured: all from the start on, if it was stopped before measuring began."""
        if stopped_at is None or stopped_at >= self.until_at:
            return self.from_at, self.until_at
        return (self.from_at if stopped_at > self.from_at else self.start_at), stopped_at


def shares(calls: int, procs: int) -> list[tuple[int, ...]]:
    """The calls' numbers for each process, dealt like cards."""
    return [tuple(range(first, calls, procs)) for first in range(min(calls, procs))]
