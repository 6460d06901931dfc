"""A server that speaks OpenAI's chat wire, and its faults. On a loopback port, with keep-alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from runner.processors.base import FrameProcessor, ProcessorSetup
from runner.processors.floor import Floor
from runner.processors.floor_state import Replies

WAIT = b"WAIT"
"""As a piece: send nothing more until the client goes."""


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


def text(words: str) -> bytes:
    return event({"content": words})


def call_piece(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> bytes:
    function: dict[str, Any] = {"arguments": arguments}
    piece: dict[str, Any] = {"index": index, "function": function}
    if call_id is not None:
        piece |= {"id": call_id, "type": "function"}
        function["name"] = name
    return event({"tool_calls": [piece]})


DONE = event({}, "stop") + b"data: [DONE]\n\n"
CALLS_DONE = event({}, "tool_calls") + b"data: [DONE]\n\n"


def refused(status: str, body: bytes = b"{}", **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


class ChatServer:
    """Answers the n-th question with `answers[n]`, the last one from then on.

    Attributes:
        asked: the bodies of the questions.
        heads: their heads.
        connections: how many were opened.
        looked: how often it was asked for its models.
        models: what it answers then.
    """

    def __init__(self, *answers: Sequence[bytes] | bytes) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.heads: list[bytes] = []
        self.connections = 0
        self.looked = 0
        self.models = ["small"]
        self.broken_off = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            self.looked += 1
            body = json.dumps({"data": [{"id": name} for name in self.models]}).encode()
            writer.write(refused("200 OK", body))
            return True
        fields = [line.split(b":") for line in head.lower().split(b"\r\n")]
        length = next(int(field[1]) for field in fields if field[0] == b"content-length")
        self.heads.append(head)
        self.asked.append(json.loads(await reader.readexactly(length)))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, bytes):
            writer.write(answer)
            return True
        return await self._stream(answer, reader, writer)

    async def _stream(
        self, pieces: Sequence[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Chunked; an answer that does not end is cut."""
        if pieces[0] == WAIT:
            await self._wait(reader)
            return False
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for piece in pieces:
            if piece == WAIT:
                await self._wait(reader)
                return False
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
        if b"[DONE]" not in pieces[-1]:
            return False
        writer.write(b"0\r\n\r\n")
        return True

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        await reader.read(1)
        self.broken_off.set()


@contextlib.asynccontextmanager
async def serving(server: ChatServer) -> AsyncIterator[ChatServer]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


@contextlib.asynccontextmanager
async def alone(service: FrameProcessor) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Set a service up without a pipeline; yields the tasks that it has started."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    def create_task(work: Any, name: str, *_: Any) -> asyncio.Task[None]:
        tasks.append(loop.create_task(work, name=name))
        return tasks[-1]

    replies = Replies()
    await service.setup(
        ProcessorSetup(
            clock=loop.time,
            replies=replies,
            floor=Floor(loop.time, replies, create_task, lambda: None),
            create_task=create_task,
            interrupt=lambda: None,
            watchers={},
        )
    )
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.cleanup()
