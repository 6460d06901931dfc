"""Each odd answer of an OpenAI-compatible server becomes the expected text, calls or error."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any

import pytest
from chat_server import ChatServer, alone, serving
from model_server_streams import CASES, STOP, Case, chunk, sse, words

from runner.errors import ServiceError
from runner.frames import FunctionCall
from runner.processors import LLMContext
from runner.services import openai
from runner.services.common import service_http
from runner.services.common.chat_stream import ChatStream
from runner.services.openai import OpenAILLMService

HINT = "; base_url usually ends with /v1: try http://127.0.0.1/v1"

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def judge(case: Case, text: str, calls: tuple[FunctionCall, ...], error: str) -> None:
    if case.error:
        assert re.search(case.error, error), error
    else:
        assert error == ""
        assert calls == case.calls
    assert text == case.text or not case.text


def read(case: Case, size: int) -> tuple[str, tuple[FunctionCall, ...], str]:
    stream = ChatStream("the server", HINT)
    text = ""
    try:
        for start in range(0, len(case.body), size):
            for piece in stream.feed(case.body[start : start + size]):
                text += piece
        for piece in stream.close():
            text += piece
    except ServiceError as error:
        return text, (), str(error)
    return text, tuple(stream.calls()), ""


def test_there_are_at_least_sixty_cases_of_all_servers() -> None:
    servers = {
        "vLLM",
        "llama.cpp",
        "Ollama",
        "LM Studio",
        "Groq",
        "Mistral",
        "Gemini",
        "Azure",
        "OpenRouter",
        "LiteLLM",
    }
    assert len(CASES) >= 60
    assert len({case.id for case in CASES}) == len(CASES)
    assert servers <= {case.server for case in CASES}


@every_case
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_the_reader_however_the_body_is_cut(case: Case, size: int) -> None:
    judge(case, *read(case, size))


@every_case
async def test_the_service_over_http(case: Case) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {case.kind}\r\ncontent-length: {len(case.body)}\r\n\r\n"
    async with serving(ChatServer(head.encode() + case.body)) as server:
        llm = OpenAILLMService(api_key="x", base_url=server.url.removesuffix("/v1"), model="small")
        text, calls, error = "", [], ""
        async with alone(llm):
            try:
                async for piece in llm.run_llm(LLMContext([{"role": "user", "content": "hi"}])):
                    if isinstance(piece, str):
                        text += piece
                    elif isinstance(piece, FunctionCall):
                        calls.append(piece)
            except ServiceError as failure:
                error = str(failure)
    judge(case, text, tuple(calls), error)


# ------------------------------------------------------------------ deadlines


class Unending:
    """Answers with `first`, and then with `again` for ever, without ending the body."""

    def __init__(self, first: bytes, again: bytes) -> None:
        self.first = first
        self.again = again
        self.over = asyncio.Event()
        self.tasks: set[asyncio.Task[Any] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + self.first)
            while not self.over.is_set():
                writer.write(self.again)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()

    async def aclose(self) -> None:
        self.over.set()
        await asyncio.gather(*(task for task in self.tasks if task))


async def answer_of(first: bytes, again: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setattr(openai, "AFTER_REASON_S", 0.2)
    unending = Unending(first, again)
    server = await asyncio.start_server(unending.serve, "127.0.0.1", 0)
    llm = OpenAILLMService(
        api_key="x", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", silence_s=0.4
    )
    text, error = "", ""
    async with alone(llm), asyncio.timeout(10):
        try:
            async for piece in llm.run_llm(LLMContext([{"role": "user", "content": "hi"}])):
                text += str(piece)
        except ServiceError as failure:
            error = str(failure)
    server.close()
    await unending.aclose()
    return text, error


@pytest.mark.parametrize(
    "again",
    [b": keep-alive\n\n", sse(chunk({"content": ""})), sse('{"choices": []}'), b"event: ping\ndata: {}\n\n"],
    ids=["comments", "empty deltas", "no choices", "pings"],
)
async def test_keep_alives_do_not_extend_the_deadline(again: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await answer_of(b"", again, monkeypatch))[1].endswith("sent no content for 0.4 s")
    text, error = await answer_of(sse(words("Hi ")), again, monkeypatch)
    assert text == "Hi "
    assert error.endswith("sent no content for 0.4 s")


@pytest.mark.parametrize(
    "last", [sse(words("Hi."), STOP), sse(words("Hi."), "[DONE]")], ids=["reason", "DONE"]
)
async def test_a_complete_answer_ends_though_the_body_does_not(
    last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await answer_of(last, b": keep-alive\n\n", monkeypatch) == ("Hi.", "")


async def test_thoughts_extend_the_deadline() -> None:
    thinking = [sse(chunk({"reasoning_content": "hm"}))] * 8

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for piece in [*thinking, sse(words("Hi."), STOP, "[DONE]")]:
            writer.write(piece)
            await asyncio.sleep(0.1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    llm = OpenAILLMService(api_key="x", base_url=url, silence_s=0.5)
    async with alone(llm):
        assert [piece async for piece in llm.run_llm(LLMContext())] == ["Hi."]
    server.close()


# ------------------------------------------------------------------ the order of messages


SYSTEM = {"role": "system", "content": "Be kind."}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


class StrictServer(ChatServer):
    """Refuses what llama.cpp refuses with a template that demands user and assistant in turn."""

    async def _stream(self, pieces: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        roles = [
            m["role"] for m in self.asked[-1]["messages"] if not (m.get("tool_calls") or m["role"] == "tool")
        ]
        talk = roles[1:] if roles[:1] == ["system"] else roles
        if any(role != ("user", "assistant")[i % 2] for i, role in enumerate(talk)):
            said = b'{"error": {"message": "Conversation roles must alternate user/assistant/..."}}'
            writer.write(b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
            return True
        return await super()._stream(pieces, reader, writer)


async def asked_with(*contexts: list[dict[str, Any]], strict: bool = False) -> list[list[dict[str, Any]]]:
    answer = [sse(words("Hi."), STOP, "[DONE]")]
    async with serving((StrictServer if strict else ChatServer)(answer)) as server:
        llm = OpenAILLMService(api_key="x", base_url=server.url)
        async with alone(llm):
            for messages in contexts:
                assert [piece async for piece in llm.run_llm(LLMContext(messages))] == ["Hi."]
        return [question["messages"] for question in server.asked]


async def test_an_assistant_message_is_between_a_tools_and_a_users() -> None:
    given = [SYSTEM, user("Weather?"), CALLED, ANSWERED, user("And tomorrow?")]
    (asked,) = await asked_with(given)
    assert asked == [*given[:4], bot("Okay."), given[4]]


async def test_no_user_message_follows_a_user_message() -> None:
    (asked,) = await asked_with([SYSTEM, user("Hello?"), user("Anybody there?")])
    assert asked == [SYSTEM, user("Hello?\nAnybody there?")]
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    (asked,) = await asked_with([user("What is this?"), {"role": "user", "content": [picture]}])
    assert asked == [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]


async def test_calls_and_answers_belong_together() -> None:
    (asked,) = await asked_with([user("a"), ANSWERED, bot("b"), user("c"), CALLED, bot("d"), user("e")])
    missing = {"role": "tool", "tool_call_id": "c1", "content": '{"status": "no result"}'}
    assert asked == [user("a"), bot("b"), user("c"), CALLED, missing, bot("d"), user("e")]


async def test_an_ordinary_conversation_is_sent_as_it_is() -> None:
    given = [SYSTEM, bot("Welcome!"), user("Weather?"), CALLED, ANSWERED, bot("Sunny."), user("Thanks.")]
    assert await asked_with(given) == [given]


async def test_a_server_that_demands_alternating_roles_is_asked_so_from_then_on() -> None:
    given = [SYSTEM, bot("Welcome!"), user("Hi."), bot("Hm?"), {"role": "system", "content": "Go on."}]
    asked = await asked_with([*given, user("b")], [*given, user("b")], strict=True)
    talk = [user("Hello."), bot("Welcome!"), user("Hi."), bot("Hm?"), user("b")]
    strict = [{"role": "system", "content": "Be kind.\n\nGo on."}, *talk]
    assert asked == [[*given, user("b")], strict, strict]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_http, "PAUSE_S", 0.01)
