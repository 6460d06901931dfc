"""The other workers of this run: which one has a call, and their statistics.

After a save, the old worker finishes calls that cannot move, while every request reaches the new worker. Each
worker also listens on a Unix socket in the run's private folder (`forwarding/__init__.py`):

    w1.sock  w2.sock …          by worker id; the ids of its calls start with it (`sessions/session.py`)

Ids are read from `/sessions/{id}/…`, `/ws-client/{token}` and the body of `/api/offer` ("pc_id"). If this
worker has the call, it serves it: a moved call keeps its id. Otherwise it asks the worker named in the id
first, then the others, because a provider's call id names no worker. If no worker has it, this one answers.

`RunTotals` sums this worker, the others, and those that have ended (from the supervisor), so counters never
decrease after a reload.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from runner.pipeline.latency import SlowWatch
from runner.sessions.stats import CallTotals, added, quantile

if TYPE_CHECKING:
    from runner.sessions.registry import Sessions
    from runner.sessions.session import Session

ASK_S = 1.0
"""Time (s) for a worker to answer; one that hangs counts as not having the call."""

KNOWS_PATH, FIGURES_PATH, AGAIN_PATH = "/inside/knows", "/inside/figures", "/inside/again"
MOVED_STATUS = 421
"""Status with which a worker answers an offer whose call it has just handed over (RFC 9110 15.5.20)."""

CLIENT = "x-botrun-client"
"""Header with the request's client: address, port and scheme. Trusted only on the Unix socket."""

PASSED = "botrun.passed"
"""Key in the scope of a forwarded request, which is not forwarded again."""

_OWNER = re.compile(r"(?:^|#)w(\d+)-")


class OtherWorkers:
    """The other workers of this run.

    Args:
        folder: the run's folder, mode 0700, so that only the user who started the run can open its sockets.
        worker: the id of this worker.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self._folder = folder
        self.own = folder / f"w{worker}.sock"

    async def owner(self, names: list[str]) -> Path | None:
        """The socket of the worker that has a call with one of these ids; None if no worker has it."""
        for path in self._by_likelihood(names):
            if await _knows(path, names):
                return path
        return None

    def _by_likelihood(self, names: list[str]) -> list[Path]:
        named = {f"w{found[1]}.sock" for name in names if (found := _OWNER.search(name))}
        return sorted(self._others(), key=lambda path: (path.name not in named, path.name))

    def _others(self) -> list[Path]:
        return [path for path in self._folder.glob("w*.sock") if path != self.own]

    async def figures(self) -> dict[str, dict[str, Any]]:
        """The other workers' statistics (`RunTotals.own`) by worker id, without workers that do not
        answer."""
        paths = self._others()
        answers = await asyncio.gather(*(_figures(path) for path in paths))
        found = zip(paths, answers, strict=True)
        return {path.stem.removeprefix("w"): answer for path, answer in found if answer is not None}


async def _knows(path: Path, names: list[str]) -> bool:
    query = "&".join(f"id={quote(name, safe='')}" for name in names)
    return await _ask(path, f"{KNOWS_PATH}?{query}") is not None


async def _figures(path: Path) -> dict[str, Any] | None:
    answer = await _ask(path, FIGURES_PATH)
    if answer is None:
        return None
    _, _, body = answer.partition(b"\r\n\r\n")
    with contextlib.suppress(ValueError):  # it ended within its answer
        found: dict[str, Any] = json.loads(body)
        return found
    return None


async def _ask(path: Path, target: str) -> bytes | None:
    """A worker's response with its headers; None if it is not 200 or does not come in time."""
    request = f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n"
    with contextlib.suppress(OSError, TimeoutError):  # it has ended
        async with asyncio.timeout(ASK_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(request.encode())
                answer = await reader.read()
                return answer if answer.split(b" ", 2)[1:2] == [b"200"] else None
            finally:
                writer.close()
    return None


Counts = Mapping[str, Any]


class RunTotals:
    """The summed statistics of all workers of this run. Without a supervisor there is only one."""

    def __init__(self, sessions: Sessions, other_workers: Callable[[], OtherWorkers | None]) -> None:
        self._sessions = sessions
        self._other_workers = other_workers
        self._past = CallTotals()
        self._last: dict[str, CallTotals] = {}

    def own(self) -> dict[str, Any]:
        """This worker's statistics, for other workers and the supervisor."""
        return {"totals": self._own().packed(), "sessions": self._calls()}

    def take_past(self, totals: Counts, workers: Sequence[str]) -> None:
        """Set the sum of the workers that have ended."""
        self._past = CallTotals.read(totals)
        for worker in workers:
            self._last.pop(worker, None)

    def take_last(self, worker: str, totals: Counts) -> None:
        """Set the last statistics of a worker that ends."""
        self._last[worker] = CallTotals.read(totals)

    async def ask(self) -> tuple[CallTotals, list[dict[str, Any]]]:
        """The statistics of all workers, and the active calls."""
        other_workers = self._other_workers()
        answers = await other_workers.figures() if other_workers is not None else {}
        for worker, word in answers.items():
            self._last[worker] = CallTotals.read(word["totals"])
        for worker in self._last.keys() - answers.keys():  # it has ended, and so have its calls
            self._last[worker].active.clear()
        older = [self._last[worker] for worker in sorted(self._last, key=int)]
        calls = [call for word in answers.values() for call in word["sessions"]]
        return added([self._past, *older, self._own()]), [*calls, *self._calls()]

    def _own(self) -> CallTotals:
        return self._sessions.totals(SlowWatch.shared(asyncio.get_running_loop()).lag)

    def _calls(self) -> list[dict[str, Any]]:
        return [_summary(session) for session in self._sessions.active.values()]


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Turn latencies: their number, p50 and p95 (ms)."""
    if not seconds:
        return {"n": 0}
    return {
        "n": len(seconds),
        "p50_ms": round(quantile(seconds, 0.5) * 1000),
        "p95_ms": round(quantile(seconds, 0.95) * 1000),
    }


def _summary(session: Session) -> dict[str, Any]:
    """The id is shortened, because the full id is enough to take over the call."""
    sound = session.sound.latest() if session.sound is not None else {}
    figures = session.figures
    return {
        "id": session.id[:6],
        "kind": session.kind,
        "secs": round(session.duration_s, 1),
        "sound": sound,
        "turns": latencies(figures.turn_s),
        "last_turn_ms": {part: round(seconds * 1000) for part, seconds in figures.last_turn.items()},
    }
