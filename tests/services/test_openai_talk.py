"""A conversation whose model is behind a socket: a tool is called, and interrupted, over the real wire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from chat_server import CALLS_DONE, DONE, WAIT, ChatServer, call_piece, event, serving, text
from eventually import eventually

from runner.frames import TTSTextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.fallback import FallbackLLM
from runner.services.llm import LLMService
from runner.services.openai import OpenAILLMService
from runner.testing import FakeTransport, Recorder, ScriptedTTS


class Talk:
    def __init__(self, url: str, *tools: Any, llm: LLMService | None = None) -> None:
        self.transport, self.heard, self.context = FakeTransport(), Recorder(), LLMContext(tools=tools)
        memory = LLMContextAggregatorPair(self.context)
        llm = llm or OpenAILLMService(api_key="x", base_url=url)
        voice = ScriptedTTS(first_s=0.01, word_s=0.05)
        row = [
            self.transport.input(), memory.user(), llm, voice, self.transport.output(), self.heard,
            memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(row))

    def words(self) -> str:
        return " ".join(s.frame.text for s in self.heard.seen if isinstance(s.frame, TTSTextFrame))

    async def until(self, words: str) -> None:
        await eventually(lambda: self.words() == words, 10)


async def test_a_tool_is_called_and_another_is_interrupted_over_the_wire() -> None:
    began = asyncio.Event()

    def add(a: int, b: int) -> int:
        return a + b

    async def slow() -> None:
        began.set()
        await asyncio.sleep(60)

    add.__annotations__ = {"a": int, "b": int}
    first = [call_piece(0, "", "c1", "add"), call_piece(0, '{"a": 2,'), call_piece(0, '"b": 3}'), CALLS_DONE]
    second = [call_piece(0, "{}", "c2", "slow"), CALLS_DONE]
    server = ChatServer(first, [text("Five."), DONE], second, [text("Never "), text("mind."), DONE])
    async with serving(server), asyncio.TaskGroup() as group:
        it = Talk(server.url, add, slow)
        group.create_task(it.task.run())
        await asyncio.sleep(0.05)
        await it.transport.caller.say("two and three", 0.02)
        await it.until("Five.")
        await it.transport.caller.say("and now slowly", 0.02)
        await began.wait()
        await it.transport.caller.say("stop", 0.02)
        await it.until("Five. Never mind.")
        await it.task.cancel()
    tools = [(m["tool_call_id"], m["content"]) for m in server.asked[-1]["messages"] if m["role"] == "tool"]
    assert tools[0] == ("c1", "5")
    assert tools[1][0] == "c2"
    assert "cancelled" in tools[1][1]


async def test_an_interruption_breaks_the_request_off_and_leaves_nothing_behind() -> None:
    server = ChatServer([WAIT], [text("Yes."), DONE])
    async with serving(server), asyncio.TaskGroup() as group:
        it = Talk(server.url)
        group.create_task(it.task.run())
        await asyncio.sleep(0.05)
        await it.transport.caller.say("hello", 0.02)
        await eventually(lambda: server.asked, 10)
        await it.transport.caller.say("are you there", 0.02)
        await it.until("Yes.")
        await it.task.cancel()
    assert server.broken_off.is_set()
    # Nobody heard an answer between them: both are one turn.
    assert server.asked[1]["messages"] == [{"role": "user", "content": "hello are you there"}]


async def talked(server: ChatServer, words: str, *tools: Any, second: ChatServer | None = None) -> Talk:
    """One question to a bot whose model is behind `server`, and another behind `second`."""
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        services = [
            OpenAILLMService(
                api_key="x", base_url=(await stack.enter_async_context(serving(one))).url, sorry="Sorry.",
                name=name,
            )
            for one, name in ((server, "first"), (second, "second"))
            if one is not None
        ]  # fmt: skip
        it = Talk("", *tools, llm=FallbackLLM(*services) if second else services[0])
        group.create_task(it.task.run())
        await asyncio.sleep(0.05)
        await it.transport.caller.say("hello", 0.02)
        await it.until(words)
        await it.task.cancel()
    return it


EMPTY = [event({"role": "assistant", "content": ""}), DONE]
FILTERED = [event({}, "content_filter"), b"data: [DONE]\n\n"]
ERROR = [b'data: {"object": "error", "message": "out of memory"}\n\n', b"data: [DONE]\n\n"]


@pytest.mark.parametrize(
    ("nothing", "reason"),
    [
        (EMPTY, "sent an empty answer (finish_reason stop)"),
        (FILTERED, "withheld its answer (finish_reason content_filter)"),
        (ERROR, "answered 200 with an error: out of memory"),
    ],
)
async def test_an_answer_of_nothing_is_logged_apologised_for_and_answered_by_the_next(
    nothing: list[bytes], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await talked(ChatServer(nothing), "Sorry.")
    assert any(reason in record.getMessage() for record in caplog.records)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await talked(ChatServer(nothing), "Hi.", second=ChatServer([text("Hi."), DONE]))
        await talked(ChatServer(nothing), "Sorry.", second=ChatServer(nothing))
    assert any(reason in record.getMessage() for record in caplog.records)


async def test_nothing_more_is_due_after_a_tool_that_was_announced(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def hang_up() -> None:
        """End the call."""
        ended.set()

    first = [text("Goodbye."), call_piece(0, "{}", "c1", "hang_up"), CALLS_DONE]
    server = ChatServer(first, EMPTY)
    with caplog.at_level(logging.WARNING):
        await talked(server, "Goodbye.", hang_up)
    assert ended.is_set()
    assert not [record for record in caplog.records if "empty answer" in record.getMessage()]
