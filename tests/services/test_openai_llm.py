"""The language model over HTTP, against a server that speaks the wire and its faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from chat_server import CALLS_DONE, DONE, WAIT, ChatServer, alone, call_piece, event, refused, serving, text
from eventually import eventually

from runner.errors import ServiceError, UsageError
from runner.frames import ErrorFrame, Frame, FrameDirection, FunctionCall
from runner.processors import FrameProcessor, LLMContext
from runner.services.common import service_http
from runner.services.common.chat_stream import ChatStream
from runner.services.ollama import OllamaLLMService
from runner.services.openai import OpenAILLMService
from runner.services.tools.call import MalformedCall


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_http, "PAUSE_S", 0.01)


@contextlib.asynccontextmanager
async def service(server: ChatServer, **options: Any) -> AsyncIterator[OpenAILLMService]:
    async with serving(server):
        llm = OpenAILLMService(api_key="canary-key", base_url=server.url, model="small", **options)
        async with alone(llm):
            yield llm


async def answer_of(server: ChatServer, **options: Any) -> list[Any]:
    async with service(server, **options) as llm:
        return [piece async for piece in llm.run_llm(LLMContext([{"role": "user", "content": "hi"}]))]


async def test_text_streams_in_whatever_way_it_is_cut() -> None:
    body = (
        event({"role": "assistant"}) + text("Hel") + text("lo, ") + b": a comment\n\n" + text("wörld") + DONE
    )
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    pieces[-2:] = [b"".join(pieces[-2:])]
    server = ChatServer(pieces)
    assert "".join(await answer_of(server, params={"temperature": 0.3})) == "Hello, wörld"
    assert b"authorization: bearer canary-key" in server.heads[0].lower()
    assert server.asked == [
        {
            "model": "small",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "temperature": 0.3,
        }
    ]


async def test_the_connection_is_there_before_the_question_and_is_kept() -> None:
    server = ChatServer([text("yes"), DONE])
    async with service(server) as llm:
        await eventually(lambda: server.looked, 5)
        await asyncio.sleep(0.05)
        for _ in range(3):
            assert [piece async for piece in llm.run_llm(LLMContext())] == ["yes"]
    assert (server.connections, len(server.asked)) == (1, 3)


async def test_two_tools_are_called_from_pieces() -> None:
    server = ChatServer(
        [
            text("Let me see."),
            call_piece(0, "", "a", "book"),
            call_piece(0, '{"day": "to'),
            call_piece(1, "", "b", "hours"),
            call_piece(0, 'day"}'),
            call_piece(1, "{}"),
            CALLS_DONE,
        ]
    )
    assert await answer_of(server) == [
        "Let me see.",
        FunctionCall("book", "a", {"day": "today"}),
        FunctionCall("hours", "b", {}),
    ]


async def test_tools_are_offered_and_withheld() -> None:
    def hours() -> str:
        """Tell the opening hours."""
        return ""

    server = ChatServer([text("x"), DONE])
    async with service(server) as llm:
        for withheld in (False, True):
            llm.toolbox.withheld = withheld
            async for _ in llm.run_llm(LLMContext(tools=[hours])):
                pass
    assert [asked.get("tool_choice") for asked in server.asked] == [None, "none"]
    assert server.asked[0]["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "hours",
                "description": "Tell the opening hours.",
                "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
            },
        }
    ]


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        ("401 Unauthorized", b'{"error":{"message":"bad key"}}', "401.*check OPENAI_API_KEY: bad key"),
        ("404 Not Found", b"nothing here", "no such model.*nothing here"),
        ("429 Too Many", b'{"error":{"message":"slow down"}}', "429.*slow down"),
        ("500 Broken", b"\xff\xfe", "internal error.*500"),
    ],
)
async def test_a_refusal_is_reported_in_words_and_without_the_key(
    status: str, body: bytes, sentence: str
) -> None:
    with pytest.raises(ServiceError, match=sentence) as failure:
        await answer_of(ChatServer(refused(status, body)))
    assert "canary" not in str(failure.value)


async def test_a_server_that_asks_for_a_moment_is_given_it() -> None:
    server = ChatServer(refused("429 Too Many", retry_after="0"), [text("now"), DONE])
    assert await answer_of(server) == ["now"]
    assert len(server.asked) == 2


async def test_a_server_that_asks_for_a_minute_is_named_at_once() -> None:
    server = ChatServer(refused("429 Too Many", retry_after="60"), [text("now"), DONE])
    with pytest.raises(ServiceError, match="429"):
        await answer_of(server)
    assert len(server.asked) == 1


async def test_garbage_is_reported() -> None:
    with pytest.raises(ServiceError, match="not JSON"):
        await answer_of(ChatServer([b"data: {{{\n\n", DONE]))
    with pytest.raises(ServiceError, match="not an object"):
        await answer_of(ChatServer([b"data: [1]\n\n", DONE]))


async def test_what_says_nothing_is_passed_over() -> None:
    nothing = b'data: {"choices":[]}\n\ndata: {"choices":[{"delta":null}]}\n\nretry: 5\n\n'
    nothing += b'data: {"choices":[null]}\n\n'
    assert await answer_of(ChatServer([nothing, text("here"), b'data: {"usage":{}}\n\n', DONE])) == ["here"]


async def test_an_error_in_the_stream_ends_the_reply() -> None:
    with pytest.raises(ServiceError, match="overloaded"):
        await answer_of(ChatServer([text("so "), b'data: {"error":{"message":"overloaded"}}\n\n', DONE]))


@pytest.mark.parametrize("last", [text("half "), call_piece(0, '{"x":', "a", "book")])
async def test_a_stream_cut_in_the_middle_gives_what_came_and_says_so(last: bytes) -> None:
    came = []

    async def listen(llm: OpenAILLMService) -> None:
        async for piece in llm.run_llm(LLMContext()):
            came.append(piece)

    async with service(ChatServer([text("one "), last])) as llm:
        with pytest.raises(ServiceError, match="broke off"):
            await listen(llm)
    assert came in (["one ", "half "], ["one "])


async def test_a_server_that_does_not_answer_has_a_deadline() -> None:
    server = ChatServer([WAIT])
    with pytest.raises(ServiceError, match=r"did not answer within 0\.2 s"):
        await answer_of(server, silence_s=0.2)
    with pytest.raises(ServiceError, match=r"sent (nothing|no content) for 0\.2 s"):
        await answer_of(ChatServer([text("so "), WAIT]), silence_s=0.2)


async def test_a_server_that_is_not_there_is_named() -> None:
    llm = OpenAILLMService(api_key="x", base_url="http://127.0.0.1:1/v1")
    async with alone(llm):
        with pytest.raises(ServiceError, match=r"127\.0\.0\.1:1 cannot be reached"):
            async for _ in llm.run_llm(LLMContext()):
                pass


async def test_closing_the_answer_breaks_the_request_off() -> None:
    server = ChatServer([text("one "), WAIT])
    async with service(server) as llm:
        context = LLMContext([{"role": "user", "content": "hi"}])
        pieces = llm.run_llm(context)
        assert await anext(pieces) == "one "
        await pieces.aclose()
        async with asyncio.timeout(5):
            await server.broken_off.wait()
        assert context.messages == [{"role": "user", "content": "hi"}]


def test_without_a_key_openai_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        OpenAILLMService()


# ------------------------------------------------------------------ the stream by itself


def fed(*events: bytes) -> ChatStream:
    stream = ChatStream()
    list(stream.feed(b"".join(events)))
    return stream


def test_calls_without_an_index_or_all_with_the_same_are_kept_apart() -> None:
    whole = [
        event({"tool_calls": [{"id": name, "function": {"name": name, "arguments": "{}"}}]}) for name in "ab"
    ]
    assert [call.function_name for call in fed(*whole).calls()] == ["a", "b"]
    same = [call_piece(0, "{}", "1", "a"), call_piece(0, "{}", "2", "b")]
    assert [call.tool_call_id for call in fed(*same).calls()] == ["1", "2"]


@pytest.mark.parametrize("arguments", ['{"x": ', "[1]", '"x"', "nothing"])
def test_arguments_that_are_no_object_are_kept_as_they_came(arguments: str) -> None:
    (call,) = fed(call_piece(0, arguments, "1", "a")).calls()
    assert isinstance(call, MalformedCall)
    assert call.raw == arguments


def test_what_the_model_thinks_aloud_is_left_out() -> None:
    def said(*pieces: str) -> str:
        stream = ChatStream()
        return "".join(part for piece in pieces for part in stream.feed(text(piece)))

    assert said("<th", "ink>hm\n", "so</think>", "\n\nYes.", " No.") == "\n\nYes. No."
    assert said("<b>", "bold") == "<b>bold"
    assert said(" 2 < 3") == " 2 < 3"


# ------------------------------------------------------------------ Ollama


class Errors(FrameProcessor):
    """Stands before a service and keeps the errors that it reports."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, ErrorFrame):
            self.seen.append(frame.error)


async def looked_at(url: str, model: str) -> list[str]:
    errors, llm = Errors(), OllamaLLMService(base_url=url, model=model)
    errors.link(llm)
    async with alone(llm) as tasks:
        await asyncio.gather(*tasks)
    return errors.seen


async def test_ollama_is_named_before_the_first_question() -> None:
    assert await looked_at("http://127.0.0.1:1/v1", "small") == [
        "OllamaLLMService failed: no Ollama answers at http://127.0.0.1:1/v1: start it with `ollama serve`"
    ]
    async with serving(ChatServer()) as server:
        server.models = ["small:latest"]
        assert await looked_at(server.url, "small") == []
        assert await looked_at(server.url, "large") == [
            "OllamaLLMService failed: Ollama has no model large: fetch it with `ollama pull large`"
        ]


async def test_ollama_answers_and_says_what_to_pull() -> None:
    async with serving(ChatServer([text("hi"), DONE], refused("404 Not Found"))) as server:
        llm = OllamaLLMService(base_url=server.url, model="small")
        async with alone(llm):
            assert [piece async for piece in llm.run_llm(LLMContext())] == ["hi"]
            with pytest.raises(ServiceError, match="ollama pull small"):
                async for _ in llm.run_llm(LLMContext()):
                    pass
