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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException

from runner.server.access.local_only import answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from runner.server.app import Host

ASK_S = 1.0
"""How long (s) a worker may take to answer; one that hangs has no call."""

KNOWS_PATH, FIGURES_PATH, AGAIN_PATH = "/inside/knows", "/inside/figures", "/inside/again"
MOVED_STATUS = 421
"""A sibling's answer to an offer whose call it has just handed over: it is for us (RFC 9110 15.5.20)."""

PASSED = "botrun.passed"
"""In the scope of what a sibling has passed on: it is answered here, and never passed on again."""

Knows = Callable[[str], bool]

_OWNER = re.compile(r"(?:^|#)w(\d+)-")


class Siblings:
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
        """What the other workers count (`RunFigures.own`), by their ids; who does not answer is left out."""
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


class ToOwner:
    """Passes on what belongs to another worker's call. Behind the doors, and behind the limit for bodies."""

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        siblings = self._host.siblings
        if siblings is None or scope.get(PASSED) or not _may_name_a_call(scope):
            await self._app(scope, receive, send)
            return
        body = b""
        if scope["type"] == "http":
            try:
                body = await _whole(receive)
            except HTTPException as error:
                await answer(send, error.status_code, error.detail)
                return
            receive = _again(body, receive)
        names = _names(scope, body)
        if not names or self._host.knows_call(names) or (owner := await siblings.owner(names)) is None:
            await self._app(scope, receive, send)
        else:
            from runner.server.forwarding.proxy import pass_request, pass_socket

            if scope["type"] == "http":
                if not await pass_request(owner, scope, body, send):
                    await self._app(scope, _again(body, receive), send)
            else:
                await pass_socket(owner, scope, receive, send)


def _may_name_a_call(scope: Scope) -> bool:
    if scope["type"] not in {"http", "websocket"}:
        return False
    path: str = scope["path"]
    return path == "/api/offer" or path.startswith(("/sessions/", "/ws-client/"))


def _names(scope: Scope, body: bytes) -> list[str]:
    """The ids that a request names."""
    parts = scope["path"].split("/")
    names = parts[2:3] if parts[1] != "api" else []
    if body:
        with contextlib.suppress(ValueError, RecursionError):
            asked = json.loads(body)
            if isinstance(asked, dict) and isinstance(asked.get("pc_id"), str):
                names.append(asked["pc_id"])
    # A longer one is nobody's, and would not fit into a request's first line.
    return [name for name in names if 0 < len(name) <= 200]


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive`, with the body that has been read."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
