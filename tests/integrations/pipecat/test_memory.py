"""What a save keeps of Pipecat's contexts."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("pipecat", reason="pipecat is not installed: pip install 'botrun[pipecat]'")

from pipecat.processors.aggregators.llm_context import LLMContext, LLMSpecificMessage

from runner.integrations.pipecat.memory import ContextMemory

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def moved(old: LLMContext, new: LLMContext, *said: Any) -> list[Any]:
    """The new code's messages, after `said` was said under the old code."""
    before, after = ContextMemory(old), ContextMemory(new)
    old.add_messages(list(said))
    after.restore(json.loads(json.dumps(before.snapshot())))
    return list(new.get_messages())


def test_the_edited_prompt_is_in_force_and_the_history_follows() -> None:
    messages = moved(LLMContext([system("Be kind.")]), LLMContext([system("Be brief.")]), USER, ASSISTANT)
    assert messages == [system("Be brief."), USER, ASSISTANT]


def test_a_prompt_that_is_the_users_first_message_is_the_new_one() -> None:
    old, new = {"role": "user", "content": "You are a cook."}, {"role": "user", "content": "You are a bard."}
    assert moved(LLMContext([old]), LLMContext([new]), ASSISTANT, USER) == [new, ASSISTANT, USER]


def test_messages_of_one_model_move_as_such() -> None:
    thought = LLMSpecificMessage(llm="google", message={"thought": "…"})
    assert moved(LLMContext(), LLMContext(), USER, thought) == [USER, thought]


def test_a_conversation_moves_twice() -> None:
    first, second, third = (LLMContext([system(word)]) for word in ("one", "two", "three"))
    moved(first, second, USER)
    memory = ContextMemory(third)
    before = ContextMemory(LLMContext([system("two")]))
    before.restore(ContextMemory(second).snapshot() | {"own": 1})
    memory.restore(before.snapshot())
    assert third.get_messages() == [system("three"), USER]


def test_a_greeting_that_is_not_said_leaves_no_instruction() -> None:
    context = LLMContext([system("Be kind."), USER, ASSISTANT])
    memory = ContextMemory(context)
    memory.greeting_begins()
    context.add_message({"role": "user", "content": "Say hello."})
    memory.forget_greeting()
    assert context.get_messages() == [system("Be kind."), USER, ASSISTANT]


def test_a_first_node_replaces_the_prompt_and_not_the_history() -> None:
    context = LLMContext([system("Be kind.")])
    memory = ContextMemory(context)
    memory.restore({"messages": [system("Old."), USER, ASSISTANT], "own": 1})
    memory.replace_own([system("Node one.")])
    assert context.get_messages() == [system("Node one."), USER, ASSISTANT]
