"""Requests for a call that another worker of this run has: they are passed on to it (plain ASGI).

After a save, calls that cannot move are finished by the old worker, while every request comes to the new one.
Each worker also listens on a Unix socket in the run's private folder (`inside.py`):

    w1.sock  w2.sock …          a worker's id, which ids of its calls begin with (`identity.py`)

Ids are looked for in `/sessions/{id}/…`, `/ws-client/{token}`, and in the body of `/api/offer` ("pc_id"). Who
is known here is served here: a call that has moved keeps its id. Else the worker in the id is asked first,
then the others, since a provider's id of a call names none. Where nobody knows it, this worker says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

ASK_S = 1.0
"""How long (s) a worker may take to answer; one that hangs has no call."""

KNOWS_PATH, FIGURES_PATH, AGAIN_PATH = "/inside/knows", "/inside/figures", "/inside/again"
MOVED_STATUS = 421
"""A sibling's answer to an offer whose call it has just handed over: it is for us (RFC 9110 15.5.20)."""

CLIENT = "x-botrun-client"
"""Whose request it was: address, port and scheme. Believed on the Unix socket alone."""

PASSED = "botrun.passed"
"""In the scope of what a sibling has passed on: it is answered here, and never passed on again."""

_OWNER = re.compile(r"(?:^|#)w(\d+)-")


class OtherWorkers:
    """The other workers of this run.

    Args:
        folder: the run's own, mode 0700; who can open its sockets is who started the run.
        worker: the id of this one.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self._folder = folder
        self.own = folder / f"w{worker}.sock"

    async def owner(self, names: list[str]) -> Path | None:
        """The socket of the worker that has a call of one of these ids; None if nobody has."""
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
        """What the other workers count (`RunTotals.own`), by their ids; who does not answer is left out."""
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
    with contextlib.suppress(ValueError):  # it has ended in the middle of its answer
        told: dict[str, Any] = json.loads(body)
        return told
    return None


async def _ask(path: Path, target: str) -> bytes | None:
    """A worker's answer, with its head; None if it is not 200, or none comes in time."""
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
