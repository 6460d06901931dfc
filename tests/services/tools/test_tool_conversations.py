"""Tools in conversations, in virtual time: what runs when, what is said meanwhile, and what is remembered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from runner.frames import (
    EndFrame,
    Frame,
    FunctionCall,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    TransferCallFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import TOOL_ROUNDS, LLMService
from runner.services.tools import FunctionCallParams, FunctionSchema, ToolCall, tool
from runner.services.tools.call import MalformedCall
from runner.testing import FakeTransport, Recorder, ScriptedTTS, run_virtual

Step = str | FunctionCall


class StubLLM(LLMService):
    """Each time it is asked, yields the next of `rounds`; what it was asked with is kept."""

    def __init__(self, rounds: Sequence[Sequence[Step]], first_s: float = 0.1) -> None:
        super().__init__()
        self.rounds = iter(rounds)
        self.asked: list[list[dict[str, Any]]] = []
        self.offered: list[int] = []
        self._first_s = first_s

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        self.asked.append(json.loads(json.dumps(context.messages)))
        self.offered.append(0 if self.toolbox.withheld else len(self.toolbox.definitions(context.tools)))
        await asyncio.sleep(self._first_s)
        for step in next(self.rounds, ["Nothing more."]):
            yield step


def ask(name: str, call_id: str = "c1", **arguments: Any) -> FunctionCall:
    return FunctionCall(name, call_id, arguments)


class Talk:
    def __init__(self, llm: StubLLM, *tools: Any) -> None:
        self.llm = llm
        self.transport = FakeTransport()
        self.context = LLMContext(tools=tools)
        self.heard = Recorder()
        self.above = Recorder()
        memory = LLMContextAggregatorPair(self.context)
        row = [
            self.transport.input(), self.above, memory.user(), llm, ScriptedTTS(word_s=0.2),
            self.transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(row))

    @property
    def caller(self) -> Any:
        return self.transport.caller

    def words(self) -> str:
        return " ".join(s.frame.text for s in self.heard.seen if isinstance(s.frame, TTSTextFrame))

    def answers(self) -> list[Any]:
        """What stands in the context as the tools' answers."""
        return [json.loads(m["content"]) for m in self.context.messages if m["role"] == "tool"]

    def said(self) -> list[tuple[str, str | None]]:
        return [
            (m["role"], m["content"])
            for m in self.context.messages
            if m["role"] != "tool" and not m.get("tool_calls")
        ]

    def run(self, script: Callable[[], Awaitable[None]]) -> Talk:
        async def play() -> None:
            await asyncio.sleep(0.01)
            await script()
            await self.task.stop_when_done()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                group.create_task(play())

        run_virtual(both())
        check_valid(self.context.messages)
        for messages in self.llm.asked:
            check_valid(messages)
        return self

    def says(self, text: str, then_s: float = 5.0) -> Talk:
        async def script() -> None:
            await self.caller.say(text, 0.5)
            await asyncio.sleep(then_s)

        return self.run(script)


def check_valid(messages: list[dict[str, Any]]) -> None:
    """OpenAI's rule: behind a message with calls stand their answers, all of them and nothing between."""
    index = 0
    while index < len(messages):
        message = messages[index]
        wanted = [call["id"] for call in message.get("tool_calls") or ()]
        answers = messages[index + 1 : index + 1 + len(wanted)]
        assert [a.get("tool_call_id") for a in answers] == wanted
        assert all(a["role"] == "tool" and isinstance(a["content"], str) for a in answers)
        index += 1 + len(wanted)
        assert index >= len(messages) or messages[index]["role"] != "tool"


def a_tool(seconds: float, result: Any = "done", **options: Any) -> Callable[..., Any]:
    async def look_up() -> Any:
        """Look it up."""
        await asyncio.sleep(seconds)
        return result

    return tool(**options)(look_up)


def test_a_tool_is_called_and_its_answer_given_to_the_model() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    add.__annotations__ = {"a": int, "b": int}
    llm = StubLLM([[ask("add", a=2, b=3)], ["It is five."]])
    it = Talk(llm, add).says("two and three?")
    assert it.words() == "It is five."
    assert llm.asked[1] == [
        {"role": "user", "content": "two and three?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "5"},
    ]
    kinds = (FunctionCallsStartedFrame, FunctionCallInProgressFrame, FunctionCallResultFrame)
    assert [s.frame.name for s in it.above.of(*kinds)] == [kind.__name__ for kind in kinds]
    assert [s.frame.name for s in it.heard.of(*kinds)] == [kind.__name__ for kind in kinds]


def test_tools_of_one_round_run_side_by_side() -> None:
    async def wait(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    wait.__annotations__ = {"seconds": float}
    llm = StubLLM([[ask("wait", "a", seconds=1.0), ask("wait", "b", seconds=0.5)], ["Both."]])
    it = Talk(llm, wait).says("wait")
    started, first, second = (s.at for s in it.above.of(FunctionCallsStartedFrame, FunctionCallResultFrame))
    assert (first - started, second - started) == pytest.approx((0.5, 1.0), abs=0.01)
    assert it.answers() == [1.0, 0.5]
    assert len(llm.asked) == 2


def test_what_is_said_before_a_tool_is_heard_while_it_runs_and_given_to_the_model() -> None:
    llm = StubLLM([["Let me look.", ask("look_up")], ["Found it."]])
    it = Talk(llm, a_tool(3.0)).says("where is it?", 8)
    assert it.words() == "Let me look. Found it."
    assert llm.asked[1][1]["content"] == "Let me look."
    assert [m["role"] for m in llm.asked[1]] == ["user", "assistant", "tool"]
    assert [role for role, _ in it.said()][:1] == ["user"]
    assert " ".join(str(text) for role, text in it.said() if role == "assistant") == "Let me look. Found it."


def test_an_interruption_cancels_the_tool_and_says_so_in_the_context() -> None:
    ended: list[str] = []

    async def look_up() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    it = Talk(StubLLM([[ask("look_up")], ["Very well."]]), look_up)

    async def script() -> None:
        await it.caller.say("look it up", 0.5)
        await asyncio.sleep(1)
        it.caller.start_speaking()
        at_once = list(it.answers())
        await asyncio.sleep(0.5)
        it.caller.stop_speaking("never mind")
        await asyncio.sleep(3)
        assert at_once == [{"status": "cancelled", "reason": "the user interrupted"}]

    it.run(script)
    assert ended == ["cancelled"]
    assert len(it.above.of(FunctionCallCancelFrame)) == 1
    assert it.above.of(FunctionCallResultFrame) == []
    assert it.words() == "Very well."


def test_a_tool_that_must_not_be_disturbed_goes_on_and_the_model_is_asked_when_nobody_speaks() -> None:
    llm = StubLLM([[ask("look_up")], ["I am still at it."], ["It is booked."]])
    it = Talk(llm, a_tool(4.0, "booked", cancel_on_interruption=False))

    async def script() -> None:
        await it.caller.say("book it", 0.5)
        await asyncio.sleep(1)
        await it.caller.say("hello?", 0.5)
        await asyncio.sleep(10)

    it.run(script)
    assert it.words() == "I am still at it. It is booked."
    assert [m["content"] for m in llm.asked[1] if m["role"] == "tool"] == ['{"status": "running"}']
    assert [m["content"] for m in llm.asked[2] if m["role"] == "tool"] == ['"booked"']
    assert it.answers() == ["booked"]


def test_a_late_answer_waits_while_the_user_speaks_and_is_given_with_the_users_words() -> None:
    llm = StubLLM([[ask("look_up")], ["Booked, and yes."]])
    it = Talk(llm, a_tool(1.5, "booked", cancel_on_interruption=False))

    async def script() -> None:
        await it.caller.say("book it", 0.5)
        await asyncio.sleep(0.5)
        await it.caller.say("and is there parking?", 4)
        await asyncio.sleep(6)

    it.run(script)
    assert len(llm.asked) == 2
    assert it.words() == "Booked, and yes."


def test_a_slow_tool_is_filled_and_a_quick_one_is_not() -> None:
    slow = Talk(StubLLM([[ask("look_up")], ["Here."]]), a_tool(2, filler=["One moment."])).says("go")
    assert slow.words() == "One moment. Here."
    quick = Talk(StubLLM([[ask("look_up")], ["Here."]]), a_tool(0.6, filler="One moment.")).says("go")
    assert quick.words() == "Here."


def test_fillers_are_said_in_turn_and_after_silence() -> None:
    it = Talk(StubLLM([[ask("look_up")], ["Here."]]), a_tool(9, filler=["One moment.", "Still looking."]))
    assert it.says("go", 15).words() == "One moment. Still looking. Here."
    again = Talk(
        StubLLM([[ask("look_up")], [ask("look_up", "c2")], ["Here."]]),
        a_tool(2, filler=["One moment.", "Still looking."]),
    )
    assert again.says("go", 15).words() == "One moment. Still looking. Here."


def test_a_filler_waits_for_what_the_model_itself_said() -> None:
    llm = StubLLM([["I will look that up for you now.", ask("look_up")], ["Here."]])
    it = Talk(llm, a_tool(2.0, filler="One moment."))
    assert it.says("go", 8).words() == "I will look that up for you now. Here."


def test_an_interruption_silences_a_filler() -> None:
    it = Talk(StubLLM([[ask("look_up")], ["Good."]]), a_tool(9, filler="This will take a little while now."))

    async def script() -> None:
        await it.caller.say("go", 0.5)
        await asyncio.sleep(1.5)
        await it.caller.say("stop", 0.5)
        await asyncio.sleep(4)

    it.run(script)
    filler, _, rest = it.words().partition(" Good.")
    assert "This will take a little while now.".startswith(filler)
    assert filler not in ("", "This will take a little while now.")
    assert rest == ""
    assert [role for role, _ in it.said()] == ["user", "assistant", "user", "assistant"]


def test_a_tool_that_fails_is_given_to_the_model_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def look_up() -> None:
        """Look something up."""
        raise ValueError("no such thing")

    with caplog.at_level(logging.WARNING):
        it = Talk(StubLLM([[ask("look_up")], ["Sorry."]]), look_up).says("go")
    assert it.answers() == [{"error": "ValueError: no such thing"}]
    assert it.words() == "Sorry."
    output = [r.getMessage() for r in caplog.records if "look_up" in r.getMessage()]
    assert len(output) == 1
    assert "test_tool_conversations.py:" in output[0]


def test_a_tool_has_a_deadline() -> None:
    it = Talk(StubLLM([[ask("look_up")], ["Sorry."]]), a_tool(60, timeout_s=2)).says("go", 6)
    assert it.answers() == [{"error": "look_up did not answer within 2 seconds"}]
    assert it.words() == "Sorry."


def test_what_the_model_got_wrong_is_given_to_it() -> None:
    calls = [ask("nothing", "a"), MalformedCall("look_up", "b", {}, '{"x": '), ask("look_up", "c", x=1)]
    it = Talk(StubLLM([calls, ["Sorry."]]), a_tool(0)).says("go")
    assert [answer["error"] for answer in it.answers()] == [
        "there is no tool nothing",
        'the arguments are not a JSON object: {"x": ',
        "wrong arguments: there is no parameter x",
    ]


def test_rounds_of_tools_are_bounded() -> None:
    llm = StubLLM([[ask("look_up", f"c{i}")] for i in range(TOOL_ROUNDS)] + [["Enough."]])
    it = Talk(llm, a_tool(0)).says("go")
    assert it.words() == "Enough."
    assert llm.offered == [1] * TOOL_ROUNDS + [0]


def test_a_tool_can_end_the_call_behind_its_reply() -> None:
    async def hang_up(call: ToolCall) -> None:
        await call.end_call("done")

    hang_up.__annotations__ = {"call": ToolCall}
    it = Talk(StubLLM([[ask("hang_up")], ["Goodbye then."]]), hang_up).says("bye")
    assert it.words() == "Goodbye then."
    assert [s.frame.reason for s in it.heard.of(EndFrame)][:1] == ["done"]


def test_a_tool_can_hand_the_caller_on_behind_its_reply() -> None:
    async def connect(call: ToolCall) -> str:
        await call.say("Just a second.")
        await call.transfer("+14155550100")
        return "connecting"

    connect.__annotations__ = {"call": ToolCall}
    it = Talk(StubLLM([[ask("connect")], ["I put you through."]]), connect).says("a person please")
    names = [s.frame for s in it.heard.of(TTSTextFrame, TransferCallFrame)]
    assert it.words() == "Just a second. I put you through."
    assert isinstance(names[-1], TransferCallFrame)
    assert names[-1].to == "+14155550100"


def test_pipecats_handlers_are_known() -> None:
    async def handler(params: FunctionCallParams) -> None:
        await params.result_callback({"city": params.arguments["city"], "id": params.tool_call_id})

    llm = StubLLM([[ask("weather", city="Rome")], ["Sunny."]])
    llm.register_function("weather", handler)
    it = Talk(llm, FunctionSchema("weather", "Tells it.", {"city": {"type": "string"}}, ["city"])).says("go")
    assert it.answers() == [{"city": "Rome", "id": "c1"}]
    assert llm.offered == [1, 1]


def test_a_registered_function_is_offered_and_may_be_given_other_options() -> None:
    llm = StubLLM([[ask("look_up")], ["Here."]])
    llm.register_function(a_tool(2), filler="Hold on.")
    it = Talk(llm).says("go")
    assert it.words() == "Hold on. Here."
    assert llm.offered == [1, 1]


def test_a_result_is_json_whatever_it_is_made_of() -> None:
    import datetime

    result = {"day": datetime.date(2026, 11, 23), "free": {10}, "name": "Zoë"}
    it = Talk(StubLLM([[ask("look_up")], ["Here."]]), a_tool(0, result)).says("go")
    assert it.answers() == [{"day": "2026-11-23", "free": [10], "name": "Zoë"}]
