"""Whose call a request is for, with sockets of one process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.server.access import BodyLimit
from runner.server.forwarding import ForwardToOwner
from runner.server.handover.other_workers import OtherWorkers

pytestmark = pytest.mark.processes

Heard = list[Any]


def host(folder: Path, *known: str) -> Any:
    def knows_call(names: Sequence[str]) -> bool:
        return any(name in known for name in names)

    return SimpleNamespace(other_workers=OtherWorkers(folder, "2"), knows_call=knows_call)


async def patch(app: Any, *chunks: bytes, path: str = "/api/offer") -> tuple[int, bytes]:
    sent: Heard = []
    parts = list(chunks)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PATCH", "path": path, "query_string": b"", "headers": []}
    await app({**scope, "client": ("127.0.0.1", 1), "scheme": "http"}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def here(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here: " + body})


async def test_what_is_known_here_and_what_nobody_knows_is_answered_here_with_its_body(
    tmp_path: Path,
) -> None:
    (tmp_path / "w1.sock").touch()  # of a worker that has crashed
    app = ForwardToOwner(here, host(tmp_path, "w1-moved"))
    mine = json.dumps({"pc_id": "w1-moved"}).encode()
    gone = json.dumps({"pc_id": "Connection#w1-1-ff"}).encode()
    for body in (mine, gone, b"", b"[]", b"nonsense", b"[" * 10000, b'{"pc_id": 7}'):
        assert await patch(app, body[:3], body[3:]) == (200, b"here: " + body)


async def test_a_body_above_the_limit_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    app = BodyLimit(ForwardToOwner(here, host(tmp_path)), limit=10)
    assert (await patch(app, b"12345", b"123456"))[0] == 413


async def test_the_worker_in_the_id_is_asked_first_and_one_that_hangs_has_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def serve(name: str, line: bytes) -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(f"{name} {(await reader.readline()).split()[1].decode()}")
            writer.write(line)
            if not line:
                await reader.read()
            writer.close()

        return await asyncio.start_unix_server(answer, tmp_path / f"{name}.sock")

    monkeypatch.setattr("runner.server.handover.other_workers.ASK_S", 0.2)
    servers = [await serve("w1", b"HTTP/1.1 200 OK\r\n\r\n"), await serve("w3", b"")]
    found = await OtherWorkers(tmp_path, "2").owner(["Connection#w3-1-ff"])
    assert found == tmp_path / "w1.sock"
    assert asked == [f"{name} /inside/knows?id=Connection%23w3-1-ff" for name in ("w3", "w1")]
    for server in servers:
        server.close()
        await server.wait_closed()
