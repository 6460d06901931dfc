"""The language model over HTTP, against a server that speaks the wire and its faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from runner.errors import ServiceError
from runner.processors import LLMContext
from runner.processors.base import ProcessorSetup
from runner.processors.replies import Replies
from runner.services.openai import OpenAILLMService

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


class Server:
    """Answers every request with `pieces`, byte for byte, and keeps what it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.asked: list[tuple[bytes, dict[str, object]]] = []
        self.broken_off = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length")
        )
        self.asked.append((head, json.loads(await reader.readexactly(length))))
        with contextlib.suppress(ConnectionError):
            for piece in self.pieces:
                if piece == b"WAIT":
                    await reader.read(1)
                    self.broken_off.set()
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def service(server: Server) -> AsyncIterator[OpenAILLMService]:
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    llm = OpenAILLMService(api_key="canary-key", base_url=f"http://127.0.0.1:{port}/v1", model="small")
    loop = asyncio.get_running_loop()
    await llm.setup(
        ProcessorSetup(
            clock=loop.time,
            replies=Replies(),
            create_task=lambda work, name: loop.create_task(work, name=name),
            interrupt=lambda: None,
            watchers={},
        )
    )
    try:
        yield llm
    finally:
        await llm.cleanup()
        listening.close()
        await listening.wait_closed()


async def answer_of(server: Server) -> str:
    async with service(server) as llm:
        context = LLMContext([{"role": "user", "content": "hi"}])
        return "".join([str(piece) async for piece in llm.run_llm(context)])


async def test_text_streams_in_whatever_way_it_is_cut() -> None:
    body = event("Hel") + event("lo, ") + b": a comment\n\n" + event("wörld") + b"data: [DONE]\n\n"
    server = Server(HEAD, *(body[i : i + 7] for i in range(0, len(body), 7)))
    assert await answer_of(server) == "Hello, wörld"
    head, request = server.asked[0]
    assert b"authorization: bearer canary-key" in head.lower()
    assert request == {"model": "small", "messages": [{"role": "user", "content": "hi"}], "stream": True}


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        ("401 Unauthorized", b'{"error":{"message":"bad key"}}', r"401 \(check OPENAI_API_KEY\): bad key"),
        ("404 Not Found", b"nothing here", "OPENAI_MODEL.*nothing here"),
        ("429 Too Many", b'{"error":{"message":"slow down"}}', "429: slow down"),
        ("500 Broken", b"\xff\xfe", "500"),
    ],
)
async def test_a_refusal_is_told_in_words_and_without_the_key(
    status: str, body: bytes, sentence: str
) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
    with pytest.raises(ServiceError, match=sentence) as failure:
        await answer_of(Server(head, body))
    assert "canary" not in str(failure.value)


async def test_garbage_is_told_as_such() -> None:
    with pytest.raises(ServiceError, match="not JSON"):
        await answer_of(Server(HEAD, b"data: {{{\n\n"))


async def test_an_error_in_the_stream_ends_the_reply() -> None:
    with pytest.raises(ServiceError, match="overloaded"):
        await answer_of(Server(HEAD, event("so "), b'data: {"error":{"message":"overloaded"}}\n\n'))


async def test_a_stream_cut_in_the_middle_gives_what_came() -> None:
    assert await answer_of(Server(HEAD, event("half "))) == "half "


async def test_a_server_that_is_not_there_is_named() -> None:
    server = Server()
    async with service(server) as llm:
        llm._url = "http://127.0.0.1:1/v1/chat/completions"
        with pytest.raises(ServiceError, match=r"127\.0\.0\.1:1.* did not answer"):
            async for _ in llm.run_llm(LLMContext()):
                pass


async def test_closing_the_answer_breaks_the_request_off() -> None:
    server = Server(HEAD, event("one "), b"WAIT")
    async with service(server) as llm:
        pieces = llm.run_llm(LLMContext())
        assert await anext(pieces) == "one "
        await pieces.aclose()
        async with asyncio.timeout(5):
            await server.broken_off.wait()
