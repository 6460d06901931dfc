"""A conversation whose model is behind a socket: a tool is called, and interrupted, over the real wire."""

from __future__ import annotations

import asyncio
from typing import Any

from chat_server import CALLS_DONE, DONE, WAIT, ChatServer, call_piece, serving, text

from runner.frames import TTSTextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.openai import OpenAILLMService
from runner.testing import FakeTransport, Recorder, ScriptedTTS


class Talk:
    def __init__(self, url: str, *tools: Any) -> None:
        self.transport, self.heard, self.context = FakeTransport(), Recorder(), LLMContext(tools=tools)
        memory = LLMContextAggregatorPair(self.context)
        llm = OpenAILLMService(api_key="x", base_url=url)
        voice = ScriptedTTS(first_s=0.01, word_s=0.05)
        row = [
            self.transport.input(), memory.user(), llm, voice, self.transport.output(), self.heard,
            memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(row))

    def words(self) -> str:
        return " ".join(s.frame.text for s in self.heard.seen if isinstance(s.frame, TTSTextFrame))

    async def until(self, words: str) -> None:
        async with asyncio.timeout(10):
            while self.words() != words:
                await asyncio.sleep(0.01)


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
        async with asyncio.timeout(10):
            while not server.asked:
                await asyncio.sleep(0.01)
        await it.transport.caller.say("are you there", 0.02)
        await it.until("Yes.")
        await it.task.cancel()
    assert server.broken_off.is_set()
    # Nobody heard an answer between them: both are one turn.
    assert server.asked[1]["messages"] == [{"role": "user", "content": "hello are you there"}]
