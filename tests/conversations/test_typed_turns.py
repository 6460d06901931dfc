"""Typed turns, as a client sends them: what is said aloud, what is only read, and in which order both are
remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from runner.frames import Frame, FunctionCall, InputTransportMessageFrame, TTSTextFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.testing import FakeTransport, Recorder, ScriptedLLM, ScriptedTTS, run_virtual


class Clockwatcher(LLMService):
    """Looks at the clock, then answers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_function("clock", self.look)

    async def look(self, call: Any) -> str:
        return "noon"

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        if context.messages[-1]["role"] == "tool":
            yield "It is noon."
        else:
            yield FunctionCall("clock", "c1", {})


class Typed:
    """A bot of fakes, and a client that types."""

    def __init__(self, *replies: str, llm: LLMService | None = None) -> None:
        self.transport, self.context, self.heard = FakeTransport(), LLMContext(), Recorder()
        memory = LLMContextAggregatorPair(self.context)
        steps = [
            self.transport.input(), memory.user(), llm or ScriptedLLM(replies), ScriptedTTS(word_s=0.3),
            self.transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(steps))

    async def says(self, kind: str, data: Any, id: str = "1") -> None:
        message = {"label": "rtvi-ai", "type": kind, "id": id, "data": data}
        await self.transport.caller.push_frame(InputTransportMessageFrame(message))

    async def types(self, text: str, **options: bool) -> None:
        await self.says("send-text", {"content": text, "options": options})

    def data(self, kind: str) -> list[Any]:
        return [m["data"] for m in self.transport.listener.messages if m["type"] == kind]

    def remembered(self) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in self.context.messages]

    def run(self, script: Any) -> Typed:
        async def play() -> None:
            await asyncio.sleep(0.01)
            await self.says("client-ready", {"version": "2.1.0"})
            await script(self)
            await self.task.stop_when_done()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                group.create_task(play())

        run_virtual(both())
        return self


def test_an_answer_that_is_to_be_read_makes_no_sound_and_is_remembered() -> None:
    async def script(it: Typed) -> None:
        await it.types("hello", audio_response=False)
        await asyncio.sleep(2)

    it = Typed("Good day. How are you?").run(script)
    assert it.transport.listener.sent == []
    assert it.heard.of(TTSTextFrame) == []
    assert it.remembered() == [("user", "hello"), ("assistant", "Good day. How are you?")]
    assert [(message["text"], message["will_be_spoken"]) for message in it.data("bot-output")] == [
        ("Good day.", False),
        ("How are you?", False),
    ]
    assert [message["text"] for message in it.data("bot-transcription")] == ["Good day.", "How are you?"]


def test_the_answer_after_one_that_was_read_is_spoken_again() -> None:
    async def script(it: Typed) -> None:
        await it.types("hello", audio_response=False)
        await asyncio.sleep(2)
        await it.types("and now aloud")
        await asyncio.sleep(3)

    it = Typed("Good day.", "Very well.").run(script)
    assert [seen.frame.text for seen in it.heard.of(TTSTextFrame)] == ["Very", "well."]  # type: ignore[attr-defined]
    assert [message["will_be_spoken"] for message in it.data("bot-output")] == [False, True, True, True]


def test_what_was_heard_is_remembered_before_the_typed_turn_that_cut_it() -> None:
    async def script(it: Typed) -> None:
        await it.types("tell me a story")
        await asyncio.sleep(1.5)
        await it.types("another")
        await asyncio.sleep(4)

    it = Typed("Once upon a time there was a cat.", "There was a dog.").run(script)
    assert it.remembered() == [
        ("user", "tell me a story"),
        ("assistant", "Once upon a time there"),
        ("user", "another"),
        ("assistant", "There was a dog."),
    ]


def test_each_model_request_is_reported_with_the_tool_between() -> None:
    async def script(it: Typed) -> None:
        await it.types("what time is it")
        await asyncio.sleep(3)

    it = Typed(llm=Clockwatcher()).run(script)
    kinds = [m["type"] for m in it.transport.listener.messages if "llm" in m["type"]]
    tool = ["llm-function-call-started", "llm-function-call-in-progress", "llm-function-call-stopped"]
    asked = ["bot-llm-started", "bot-llm-stopped"]
    assert kinds == ["user-llm-text", *asked, *tool, asked[0], "bot-llm-text", asked[1]]
