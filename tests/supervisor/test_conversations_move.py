"""What a conversation takes along, and that nobody is greeted twice: without processes, in virtual time."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any

from runner.frames import LLMRunFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.processors import handover_state as conversation
from runner.processors.handover_state import Conversation
from runner.transports.session_port import SessionPort, enter_session

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def remembered(call: Conversation, *messages: dict[str, Any]) -> LLMContext:
    """The context of a bot that serves this call and begins with these messages."""
    return served(call, *messages)[0]


def served(call: Conversation, *messages: dict[str, Any]) -> tuple[LLMContext, PipelineTask]:
    context = LLMContext(messages)
    return context, served_with(call, *LLMContextAggregatorPair(context))


def served_with(call: Conversation, *row: FrameProcessor) -> PipelineTask:
    def build() -> PipelineTask:
        enter_session(SessionPort(conversation=call))
        return PipelineTask(Pipeline(row))

    return copy_context().run(build)


def test_the_new_prompt_stands_before_the_old_history() -> None:
    old = Conversation()
    remembered(old, {"role": "system", "content": "Be kind."}, USER, ASSISTANT)
    packed, lost = old.pack()
    new = remembered(Conversation(packed), {"role": "system", "content": "Be brief."})
    assert new.messages == [{"role": "system", "content": "Be brief."}, USER, ASSISTANT]
    assert lost == []


def test_what_is_not_json_is_named_and_the_rest_moves() -> None:
    call = Conversation()
    call.state = {"name": "Ada", "database": object()}
    remembered(call, USER, {"role": "tool", "content": object()})
    packed, lost = call.pack()
    assert packed["state"] == {"name": "Ada"}
    assert packed["memories"][0]["messages"][0] == USER
    assert lost == [
        "1 of the conversation's messages moved as text because they are not JSON",
        "session_state['database'] (object) is not JSON",
    ]


def test_code_that_failed_before_it_remembered_hands_on_what_it_was_given() -> None:
    packed = {"memories": [{"version": 1, "messages": [USER]}], "state": {"n": 1}, "spoken": True}
    again, lost = Conversation(packed).pack()
    assert {name: again[name] for name in packed} == packed
    assert lost == []


def test_each_context_continues_the_one_in_its_place_once() -> None:
    answer = {"role": "assistant", "content": "41"}
    snapshots = [{"version": 1, "messages": [message]} for message in (USER, answer)]
    call, first, second = Conversation({"memories": snapshots}), LLMContext(), LLMContext()
    row = [*LLMContextAggregatorPair(first), *LLMContextAggregatorPair(second)]
    for _ in range(2):  # a bot may run a second pipeline with the same contexts
        served_with(call, *row)
    assert (first.messages, second.messages) == ([USER], [answer])


def test_a_conversation_in_which_nobody_spoke_begins_again() -> None:
    call = Conversation()
    remembered(call, {"role": "system", "content": "Be kind."})
    assert not Conversation(call.pack()[0]).resumed


async def test_a_greeting_is_not_said_again_but_what_comes_later_is() -> None:
    call = Conversation(
        {"memories": [{"version": 1, "messages": [USER, ASSISTANT]}], "state": {}, "spoken": True}
    )
    context, task = served(call, {"role": "system", "content": "Be kind."})
    context.messages.append({"role": "system", "content": "Greet the caller."})
    await task.queue_frames([LLMRunFrame()])
    assert context.messages[-1] == ASSISTANT
    task._begun = True
    with conversation.greeting():
        await task.queue_frame(TTSSpeakFrame("Hello!"))
    assert task._queue.empty()
    await task.queue_frame(TTSSpeakFrame("Are you still there?"))
    assert task._queue.qsize() == 1
