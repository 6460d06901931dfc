"""The conversation saved, restored, and shortened when it is long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runner.processors import LLMContext, LLMContextAggregatorPair, OpenAILLMContext, Summarize
from runner.processors.context import SUMMARY
from runner.testing import Conversation, Fails, ScriptedLLM, run_virtual

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def talk(turns: int) -> list[dict[str, Any]]:
    """A system message, then turns of which each has a call of a tool."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}]
    for turn in range(turns):
        messages += [
            {"role": "user", "content": f"question {turn}"},
            {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": f"c{turn}"}]},
            {"role": "tool", "tool_call_id": f"c{turn}", "content": "1"},
            {"role": "assistant", "content": f"answer {turn}"},
        ]
    return messages


def test_a_snapshot_is_json_and_the_new_bots_own_instructions_stay() -> None:
    snapshot = json.loads(json.dumps(LLMContext(talk(2)).snapshot()))
    context = LLMContext([{"role": "system", "content": "Be kinder."}])
    messages = context.messages
    context.restore(snapshot)
    assert context.messages is messages
    assert [m["content"] for m in messages if m["role"] == "system"] == ["Be kinder."]
    assert messages[1:] == talk(2)[1:]


def test_the_two_aggregators_may_be_taken_apart() -> None:
    memory = LLMContextAggregatorPair(LLMContext())
    user, assistant = memory
    assert (user, assistant) == (memory.user(), memory.assistant())


def test_a_summary_is_restored_with_the_rest() -> None:
    context = LLMContext([{"role": "system", "content": SUMMARY + "they want tea"}])
    other = LLMContext([{"role": "system", "content": "Be kind."}])
    other.restore(context.snapshot())
    assert [m["content"] for m in other.messages] == ["Be kind.", SUMMARY + "they want tea"]


def test_a_snapshot_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not a snapshot of version 1"):
        LLMContext().restore({"version": 9})


@pytest.mark.parametrize("keep", range(1, 12))
def test_what_stays_after_a_summary_begins_with_a_users_turn_and_keeps_calls_with_their_answers(
    keep: int,
) -> None:
    context = LLMContext(talk(6))
    before = list(context.messages)
    assert run_virtual(Summarize(llm=ScriptedLLM(["they asked much"]), keep=keep).shorten(context))
    system, summary, first, *rest = context.messages
    assert system["content"] == "Be kind."
    assert summary == {"role": "system", "content": f"{SUMMARY}they asked much"}
    assert first["role"] == "user"
    assert before[-len([first, *rest]) :] == [first, *rest]
    assert len(rest) + 1 >= keep


def test_what_is_said_while_the_summary_is_made_stays() -> None:
    async def run() -> LLMContext:
        context = LLMContext(talk(6))
        task = asyncio.create_task(
            Summarize(llm=ScriptedLLM(["short"], first_s=2.0), keep=4).shorten(context)
        )
        await asyncio.sleep(1.0)
        context.add("user", "meanwhile")
        assert await task
        return context

    assert run_virtual(run()).messages[-1] == {"role": "user", "content": "meanwhile"}


def test_a_summary_of_messages_that_were_changed_meanwhile_is_thrown_away() -> None:
    async def run() -> list[Any]:
        context = LLMContext(talk(6))
        task = asyncio.create_task(
            Summarize(llm=ScriptedLLM(["short"], first_s=2.0), keep=4).shorten(context)
        )
        await asyncio.sleep(1.0)
        context.set_messages(talk(1))
        assert not await task
        return context.messages

    assert run_virtual(run()) == talk(1)


def test_it_is_due_by_messages_or_by_tokens() -> None:
    class Nobody:
        async def run_llm(self, context: LLMContext) -> AsyncIterator[str]:
            yield ""

    assert Summarize(llm=Nobody(), after_messages=9).is_due(talk(2))
    assert not Summarize(llm=Nobody(), after_messages=10).is_due(talk(2))
    assert Summarize(llm=Nobody(), after_messages=None, after_tokens=5).is_due(talk(2))


def test_pipecats_older_spellings_work() -> None:
    context = OpenAILLMContext([{"role": "system", "content": "Be kind."}])
    memory = ScriptedLLM([]).create_context_aggregator(context)
    assert memory.user().context is memory.assistant().context is context
    context.add_message({"role": "user", "content": "hi"})
    assert context.get_messages()[-1]["content"] == "hi"


# ------------------------------------------------------------------ in a conversation


def talk_of_four_turns(summarize: Summarize) -> Conversation:
    it = Conversation("one.", "two.", "three.", "four.", summarize=summarize)

    async def script() -> None:
        for question in ("first", "second", "third", "last"):
            await it.caller.say(question)
            await it.bot_is_silent(0.5)

    return it.run(script)


def test_a_conversation_that_has_become_long_is_summed_up_while_it_goes_on() -> None:
    writer = ScriptedLLM(["they count"], first_s=0.1)
    it = talk_of_four_turns(Summarize(llm=writer, after_messages=6, keep=2))
    assert [text for _, text in it.remembered()] == [
        SUMMARY + "they count",
        "third",
        "three.",
        "last",
        "four.",
    ]
    assert len(writer.asked) == 1
    assert it.words() == ["one.", "two.", "three.", "four."]


def test_a_conversation_that_is_not_long_is_left_alone() -> None:
    writer = ScriptedLLM(["they count"])
    it = talk_of_four_turns(Summarize(llm=writer, after_messages=9))
    assert len(it.remembered()) == 8
    assert writer.asked == []


def test_while_a_summary_is_made_no_other_is_begun() -> None:
    writer = ScriptedLLM(["they count", "again"], first_s=30)
    it = talk_of_four_turns(Summarize(llm=writer, after_messages=4, keep=2))
    assert len(writer.asked) == 1
    assert len(it.remembered()) == 8


def test_a_summary_that_fails_leaves_the_conversation_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    writer = ScriptedLLM([[Fails("no more credit")], "they count"], first_s=0.1)
    it = talk_of_four_turns(Summarize(llm=writer, after_messages=6, keep=2))
    assert "summary of the conversation failed, its messages stay: no more credit" in caplog.text
    assert it.remembered()[0] == ("system", SUMMARY + "they count")


def test_a_summary_may_take_the_place_of_everything() -> None:
    context = LLMContext(talk(3))
    assert run_virtual(Summarize(llm=ScriptedLLM(["short"]), keep=0).shorten(context))
    assert [m["content"] for m in context.messages] == ["Be kind.", SUMMARY + "short"]
