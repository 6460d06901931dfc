"""What the server's process takes, its children included; and the rest of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import psutil

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far, at a time (s): of the server, of the callers, of the whole machine."""

    at: float
    server_s: float
    callers_s: float
    machine_s: float


@dataclass(frozen=True, kw_only=True)
class ServerUse:
    """What the server took; MB are of resident memory.

    Attributes:
        pid: whose, with all its children.
        cpu_cores: 1 is one core all the time.
        cpu_ms_per_call_s: CPU (ms) for a second of one call.
        idle_mb: before the first call.
        peak_mb: the most that was seen.
        mb_per_call: what each call added.
        threads: at the end.
    """

    pid: int
    cpu_cores: float
    cpu_ms_per_call_s: float | None
    idle_mb: float
    peak_mb: float
    mb_per_call: float | None
    threads: int


class Meter:
    """Reads the counters of one load. `server` is None if nobody knows its process."""

    def __init__(self, server: int | None) -> None:
        self.server = server
        self._idle_bytes = self._memory()
        self._peak_bytes = self._idle_bytes

    @property
    def knows_server(self) -> bool:
        return self.server is not None

    def look(self) -> None:
        """Remember how much memory there is, if it is the most."""
        self._peak_bytes = max(self._peak_bytes, self._memory())

    def read(self, callers: Iterable[int]) -> Reading:
        """All counters, now."""
        server = _cpu_s(_tree(self.server))
        return Reading(time.monotonic(), server, _cpu_s(_processes(callers)), _machine_s())

    def use(self, begin: Reading, end: Reading, calls: int) -> ServerUse | None:
        """What the server took between two readings, for so many calls."""
        if self.server is None:
            return None
        self.look()
        cores = (end.server_s - begin.server_s) / max(1e-9, end.at - begin.at)
        grown_mb = (self._peak_bytes - self._idle_bytes) / MB
        return ServerUse(
            pid=self.server,
            cpu_cores=round(cores, 4),
            cpu_ms_per_call_s=round(1000 * cores / calls, 3) if calls else None,
            idle_mb=round(self._idle_bytes / MB, 1),
            peak_mb=round(self._peak_bytes / MB, 1),
            mb_per_call=round(grown_mb / calls, 3) if calls else None,
            threads=round(sum(_of(process.num_threads) for process in _tree(self.server))),
        )

    def _memory(self) -> float:
        return sum(_of(partial(_resident_bytes, process)) for process in _tree(self.server))


def callers_cores(begin: Reading, end: Reading) -> float:
    """What the callers took."""
    return round((end.callers_s - begin.callers_s) / max(1e-9, end.at - begin.at), 3)


def other_cores(begin: Reading, end: Reading) -> float:
    """What other programs of the machine took meanwhile."""
    taken = end.machine_s - begin.machine_s
    ours = end.server_s - begin.server_s + end.callers_s - begin.callers_s
    return round(max(0.0, taken - ours) / max(1e-9, end.at - begin.at), 3)


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    return psutil.pid_exists(pid)


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        yield from _tree(pid)


def _cpu_s(processes: Iterable[psutil.Process]) -> float:
    return sum(_of(partial(_used_s, process)) for process in processes)


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _resident_bytes(process: psutil.Process) -> float:
    return process.memory_info().rss


def _machine_s() -> float:
    times = psutil.cpu_times()
    # Guests are in `user` already; a core that waits for a disk is free.
    return sum(times) - sum(getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))


def _of(read: Callable[[], float]) -> float:
    """A counter; 0 of a process that has just ended."""
    try:
        return read()
    except psutil.Error:
        return 0
