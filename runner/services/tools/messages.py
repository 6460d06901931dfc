"""Calls of tools as messages of a context, in OpenAI's shape. Pure.

A call and its answer enter a context together, the answer first saying "running": so at any
moment every call is answered, which OpenAI's server insists on (openai 3.54.0,
types/chat/chat_completion_tool_message_param.py and chat_completion_message_function_tool_call_param.py).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from runner.frames import FunctionCall
from runner.processors.context import LLMContext, Message

RUNNING = json.dumps({"status": "running"})
CANCELLED = json.dumps({"status": "cancelled", "reason": "the user interrupted"})


def write_down(context: LLMContext, calls: Sequence[FunctionCall]) -> list[Message]:
    """Append the calls; returns the message that is to hold each one's answer."""
    asked = [
        {
            "id": call.tool_call_id,
            "type": "function",
            "function": {
                "name": call.function_name,
                "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
            },
        }
        for call in calls
    ]
    answers = [{"role": "tool", "tool_call_id": c.tool_call_id, "content": RUNNING} for c in calls]
    context.messages += [{"role": "assistant", "content": None, "tool_calls": asked}, *answers]
    return answers


def as_json(result: Any) -> Any:
    """A tool's result as a JSON value; None says that it was done."""
    if result is None:
        return {"status": "done"}
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(result, fallback=str)


def asked_with(context: LLMContext, said: str) -> LLMContext:
    """The context as the model is asked with it again, in the middle of its reply.

    What it said before it called is put with the call, and what the caller has heard of this reply since is
    left out: a server would take it for a reply that is complete.
    """
    messages = list(context.messages)
    last = _last_call(messages)
    if last is None:
        return context
    end = max(i for i, message in enumerate(messages) if message.get("role") == "tool") + 1
    later = [message for message in messages[end:] if message.get("role") != "assistant"]
    told_before = last > 0 and _is_speech(messages[last - 1])
    if said.strip() and not told_before:
        messages[last] = {**messages[last], "content": said.strip()}
    view = copy.copy(context)
    view.messages = [*messages[:end], *later]
    return view


def _last_call(messages: Sequence[Message]) -> int | None:
    found = (i for i in range(len(messages) - 1, -1, -1) if messages[i].get("tool_calls"))
    return next(found, None)


def _is_speech(message: Message) -> bool:
    return message.get("role") == "assistant" and not message.get("tool_calls")
