"""`botrun load`: many concurrent simulated callers, and their measurements. This file: the load's parameters.

cli/load         → load_processes.py  starts the bot and the processes of callers, reads the server's counters
                 → worker.py          one process of callers; its calls are in calls.py
                 → report.py          merges all measurements into figures and a verdict, and
                                      searches for the maximum number of calls that a server handles
                 → chart.py           latency over calls

Times are seconds; those that end in `_at` are on `time.monotonic`'s clock, which all processes of a machine
share.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

ECHO, TALK = "echo", "talk"

SETTLE_S = 2.0
"""Time (s) between the start of the last call and the start of the measurement (at most half the measured
time)."""

ANSWER_TIMEOUT_S = 20.0

LATE_STEP_MS = 0.1
"""Resolution of the lateness counts."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """The parameters of a load.

    Attributes:
        transport: "twilio", "telnyx", "plivo", "exotel", "websocket" or "webrtc".
        calls: number of concurrent calls.
        duration_s: measured time, once all calls are connected.
        ramp_s: time over which the calls start.
        scenario: "echo" for an echo bot, else a scenario's name or file.
        procs: number of caller processes.
        file: the bot to start; None rings `url`.
        url: URL of a running server: `ws://…` of its media socket; for WebRTC `http://…`.
        pid: the server's process, if known.
        body: the `body` of the started bot.
        insecure: whether to accept any certificate.
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
    """The parameters of one caller process: it makes the calls `numbers`, out of all `calls`."""

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
    """The times of a load, from `start_at` on."""

    start_at: float
    ramp_s: float
    duration_s: float

    def opens_at(self, number: int, calls: int) -> float:
        """When a call starts."""
        return self.start_at + self.ramp_s * number / calls

    @property
    def from_at(self) -> float:
        """When the measurement starts."""
        return self.start_at + self.ramp_s + min(SETTLE_S, self.duration_s / 2)

    @property
    def until_at(self) -> float:
        """When the measurement ends."""
        return self.from_at + self.duration_s

    def measured(self, stopped_at: float | None) -> tuple[float, float]:
        """The measured time; the whole time since the start if it was stopped before the measurement."""
        if stopped_at is None or stopped_at >= self.until_at:
            return self.from_at, self.until_at
        return (self.from_at if stopped_at > self.from_at else self.start_at), stopped_at


def shares(calls: int, procs: int) -> list[tuple[int, ...]]:
    """The calls' numbers for each process, assigned round-robin."""
    return [tuple(range(first, calls, procs)) for first in range(min(calls, procs))]
