"""A service between two recorders, and a WebSocket server whose behaviour a test writes down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from eventually import eventually
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from runner.frames import (
    ErrorFrame,
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.testing import Recorder

LONG_S = 10.0
"""No test waits for longer."""


@dataclass
class Bench:
    """A running pipeline of one service."""

    before: Recorder
    service: FrameProcessor
    after: Recorder
    task: PipelineTask

    async def say(self, *sentences: str) -> None:
        """A reply of the language model."""
        reply_id = self.service.processor_setup.replies.new()
        await self.task.queue_frame(LLMFullResponseStartFrame(reply_id=reply_id))
        for sentence in sentences:
            await self.task.queue_frame(LLMTextFrame(f"{sentence} ", reply_id=reply_id))
        await self.task.queue_frame(LLMFullResponseEndFrame(reply_id=reply_id))

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something to have come about."""
        await eventually(true, LONG_S)

    async def seen(self, kind: type[Frame], count: int = 1) -> list[Any]:
        """Wait for so many frames of a kind behind the service."""
        await self.until(lambda: len(self.after.of(kind)) >= count)
        return [seen.frame for seen in self.after.of(kind)]

    async def said(self, sentences: int = 1) -> None:
        """Wait for so many sentences to be over."""
        await self.seen(TTSStoppedFrame, sentences)

    @property
    def words(self) -> list[tuple[str, int]]:
        return [
            (seen.frame.text, round(seen.frame.audio_offset_ms or 0))  # type: ignore[attr-defined]
            for seen in self.after.of(TTSTextFrame)
        ]

    @property
    def pcm(self) -> bytes:
        return b"".join(seen.frame.audio for seen in self.after.of(OutputAudioRawFrame))  # type: ignore[attr-defined]

    @property
    def errors(self) -> list[str]:
        return [seen.frame.error for seen in self.before.of(ErrorFrame)]  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def bench(service: FrameProcessor, *, in_hz: int = 16000, out_hz: int = 24000) -> AsyncIterator[Bench]:
    """Run a pipeline of this one service."""
    before, after = Recorder(), Recorder()
    task = PipelineTask(
        Pipeline([before, service, after]),
        params=PipelineParams(audio_in_sample_rate=in_hz, audio_out_sample_rate=out_hz),
    )
    running = asyncio.create_task(PipelineRunner().run(task))
    made = Bench(before, service, after, task)
    try:
        await made.seen(StartFrame)
        yield made
    finally:
        await task.cancel()
        await running


Talk = Callable[["Peer", ServerConnection], Awaitable[None]]


@dataclass
class Peer:
    """A service's server. `talk` is called for each connection.

    Attributes:
        refuse: statuses with which the next handshakes are answered.
        heard: the JSON messages that came, over all connections.
        sound: the bytes that came, over all connections.
        asked: the handshakes.
    """

    talk: Talk
    refuse: list[int] = field(default_factory=list)
    refusal_headers: dict[str, str] = field(default_factory=dict)
    heard: list[dict[str, Any]] = field(default_factory=list)
    sound: bytearray = field(default_factory=bytearray)
    asked: list[Request] = field(default_factory=list)
    sockets: list[ServerConnection] = field(default_factory=list)
    url: str = ""
    server: Server | None = None

    async def serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        with contextlib.suppress(ConnectionError, ConnectionClosed):
            await self.talk(self, socket)

    def knock(self, socket: ServerConnection, request: Request) -> Response | None:
        self.asked.append(request)
        if not self.refuse:
            return None
        response = socket.respond(HTTPStatus(self.refuse.pop(0)), '{"err_msg": "because"}')
        response.headers.update(self.refusal_headers)
        return response

    async def messages(self, socket: ServerConnection) -> AsyncIterator[dict[str, Any]]:
        """The JSON messages of one connection; sound is put aside."""
        async for data in socket:
            if isinstance(data, bytes):
                self.sound += data
            else:
                message = json.loads(data)
                self.heard.append(message)
                yield message


@contextlib.asynccontextmanager
async def peer_server(talk: Talk) -> AsyncIterator[Peer]:
    """A server on this machine."""
    made = Peer(talk)
    async with serve(made.serve, "127.0.0.1", 0, process_request=made.knock) as server:
        made.server = server
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made
        server.close(close_connections=True)
