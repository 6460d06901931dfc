"""The server under load: its address, the CPU and memory of its process, and its own metrics."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil

from runner.errors import TransportError, UsageError
from runner.server.access import is_loopback, key_headers
from runner.server.wire.tls import trust_for
from runner.settings.transports import TRANSPORTS

STATUS_TIMEOUT_S = 3.0
REACH_TIMEOUT_S = 5.0
_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_HTTP = {"ws": "http", "wss": "https"}


def is_address(target: str) -> bool:
    """Whether the target is an address rather than a file."""
    return "://" in target


def address_for(target: str, transport: str) -> str:
    """The URL that this transport's callers connect to.

    Raises:
        UsageError: the address cannot be called.
    """
    try:
        parts = urlsplit(target)
        scheme, known = _SCHEMES.get(parts.scheme), bool(parts.hostname and parts.port != 0)
    except ValueError:
        scheme, known = None, False
    if scheme is None or not known:
        raise UsageError(
            f"TARGET: {target!r} is not an address that can be called (ws://127.0.0.1:7860/ws, http://127.0.0.1:7860)"
        )
    if transport == "webrtc":
        return urlunsplit((_HTTP[scheme], parts.netloc, "", "", ""))
    path = TRANSPORTS[transport].path if parts.path in ("", "/") else parts.path
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def check_reachable(url: str) -> None:
    """Raises `TransportError` if nothing listens at this address."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    try:
        socket.create_connection((parts.hostname or "", port), REACH_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or "no answer"
        raise TransportError(f"cannot connect to {url} ({reason}); start the server first") from None


def pid_of(url: str) -> int | None:
    """The process of a botrun on this machine, from its `/status`; None if it is unknown."""
    import httpx2

    parts = urlsplit(url)
    if not is_loopback(parts.hostname or ""):
        return None
    status = urlunsplit((_HTTP.get(parts.scheme, parts.scheme), parts.netloc, "/status", "", ""))
    try:
        answer = httpx2.get(
            status,
            headers=key_headers(url),
            timeout=STATUS_TIMEOUT_S,
            trust_env=False,
            verify=trust_for(url) or True,
        )
        found = answer.json().get("pid") if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds used until a time (s), by the server, the callers and the whole machine."""

    at: float
    server_s: float
    callers_s: float
    machine_s: float


@dataclass(frozen=True, kw_only=True)
class ServerUse:
    """CPU and resident memory of the server.

    Attributes:
        pid: the server's process; the figures include its children.
        cpu_cores: CPU use; 1 is one core all the time.
        cpu_ms_per_call_s: CPU (ms) per second of call.
        idle_mb: memory before the first call.
        peak_mb: maximum memory.
        mb_per_call: memory added by each call.
        threads: number of threads at the end.
    """

    pid: int
    cpu_cores: float
    cpu_ms_per_call_s: float | None
    idle_mb: float
    peak_mb: float
    mb_per_call: float | None
    threads: int


class Meter:
    """Reads the counters of one load. `server` is None if its process is unknown."""

    def __init__(self, server: int | None) -> None:
        self.server = server
        self._idle_bytes = self._memory()
        self._peak_bytes = self._idle_bytes

    @property
    def knows_server(self) -> bool:
        return self.server is not None

    def look(self) -> None:
        """Update the peak memory."""
        self._peak_bytes = max(self._peak_bytes, self._memory())

    def read(self, callers: Iterable[int]) -> Reading:
        """All counters, now."""
        server = _cpu_s(_tree(self.server))
        return Reading(time.monotonic(), server, _cpu_s(_processes(callers)), _machine_s())

    def use(self, begin: Reading, end: Reading, calls: int) -> ServerUse | None:
        """The server's use between two readings, for this number of calls."""
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
    """CPU use of the callers."""
    return round((end.callers_s - begin.callers_s) / max(1e-9, end.at - begin.at), 3)


def other_cores(begin: Reading, end: Reading) -> float:
    """CPU use of other programs on this machine."""
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
    # `user` includes guests; a core that waits for a disk is idle.
    return sum(times) - sum(getattr(times, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))


def _of(read: Callable[[], float]) -> float:
    """A counter; 0 for a process that has just ended."""
    try:
        return read()
    except psutil.Error:
        return 0


METRICS_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ServerWord:
    """The server's own figures since its start.

    Attributes:
        loop_lag_ms: p99 of its event loop's lag; None: beyond the largest bucket.
        underruns: holes of over 20 ms in what it sent.
        dropped: malformed messages.
        dropped_ms: callers' audio that its pipelines did not take in time.
        refused: calls refused because of the call limit.
    """

    loop_lag_ms: float | None
    underruns: int
    dropped: int
    dropped_ms: float
    refused: int


def ask(url: str) -> ServerWord | None:
    """Read the metrics of the botrun at this address; None if it has none."""
    import httpx2
    from prometheus_client.parser import text_string_to_metric_families

    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    try:
        address = urlunsplit((scheme, parts.netloc, "/metrics", "", ""))
        answer = httpx2.get(address, timeout=METRICS_TIMEOUT_S, trust_env=False)
        if answer.status_code != 200:
            return None
        return word_of(s for family in text_string_to_metric_families(answer.text) for s in family.samples)
    except (httpx2.HTTPError, ValueError):
        return None


def word_of(samples: Iterable[Any]) -> ServerWord | None:
    """The figures from the samples of `/metrics`."""
    single: dict[str, float] = {}
    lag: dict[float, float] = {}
    for sample in samples:
        if sample.name == "botrun_loop_lag_seconds_bucket":
            lag[float(sample.labels["le"])] = sample.value
        else:
            single[sample.name] = sample.value
    if not lag:
        return None
    return ServerWord(
        loop_lag_ms=_bound_ms(lag),
        underruns=int(single.get("botrun_underruns_total", 0)),
        dropped=int(single.get("botrun_messages_dropped_total", 0)),
        dropped_ms=1000 * single.get("botrun_sound_dropped_seconds_total", 0.0),
        refused=int(single.get("botrun_sessions_refused_total", 0)),
    )


def _bound_ms(cumulative: Mapping[float, float], share: float = 0.99) -> float | None:
    total = max(cumulative.values())
    bound = min((end for end, count in cumulative.items() if count >= share * total), default=float("inf"))
    return 1000 * bound if bound != float("inf") else None
