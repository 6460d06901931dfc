"""Puts a context's messages into the order that chat servers accept. Pure.

OpenAI takes almost any order. Mistral's server refuses a user message after a tool's; llama.cpp, vLLM and LM
Studio run the model's own template, and many templates demand one system message at the beginning and then
user and assistant in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from runner.processors.context import Message

ACKNOWLEDGED = "Okay."
"""Stands for the assistant where a user message follows a tool's."""

OPENING = "Hello."
"""Stands for the user where the assistant spoke first, for servers that demand a user message there."""

NO_RESULT = '{"status": "no result"}'

_DEMANDS = re.compile(
    r"roles? must alternate|alternat\w* (?:user|role)|after the optional system message|expected last role"
    r"|(?:unexpected|incorrect|invalid) role|role (?:information|order)|system (?:message|role|prompt)\b.*\b"
    r"(?:begin|first|start|only|not supported)|only the first message|conversation roles",
    re.IGNORECASE,
)


def ordered(messages: Iterable[Mapping[str, object]]) -> list[Message]:
    """The messages in an order that servers of OpenAI's form accept: each tool call has its answer, an
    assistant message is between a tool's and a user's, and no user message follows another."""
    made: list[Message] = []
    for message in _answered(messages):
        last = made[-1] if made else None
        role = message.get("role")
        if role == "assistant" and not message.get("tool_calls") and not message.get("content"):
            continue
        if last is not None and role == "user" and last.get("role") == "tool":
            made.append({"role": "assistant", "content": ACKNOWLEDGED})
            last = made[-1]
        if last is not None and _can_join(last, message):
            made[-1] = _joined(last, message)
        else:
            made.append(dict(message))
    return made


def alternating(messages: Iterable[Mapping[str, object]]) -> list[Message]:
    """`ordered`, for servers that also demand one system message at the beginning and a user message next."""
    given = [dict(message) for message in messages]
    system = [message for message in given if message.get("role") in ("system", "developer")]
    talk = ordered(message for message in given if message.get("role") not in ("system", "developer"))
    if not talk or talk[0].get("role") != "user":
        talk.insert(0, {"role": "user", "content": OPENING})
    text = "\n\n".join(str(message.get("content") or "") for message in system if message.get("content"))
    return [{"role": "system", "content": text}, *talk] if text else talk


def demands_alternation(refusal: str) -> bool:
    """Whether a server's refusal is about the order of the messages' roles."""
    return _DEMANDS.search(refusal) is not None


def spoke_before_its_tools(messages: Sequence[Mapping[str, object]]) -> bool:
    """Whether the messages end with the answers of tools, and the model spoke when it called them: then it
    need not say more."""
    for message in reversed(messages):
        if message.get("role") != "tool":
            return bool(message.get("tool_calls") and message.get("content"))
    return False


def _answered(messages: Iterable[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
    """Each call followed by its answer: answers without a call are left out, missing ones are made."""
    waiting: list[object] = []
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") in waiting:
                waiting.remove(message.get("tool_call_id"))
                yield message
            continue
        yield from (_no_result(call_id) for call_id in waiting)
        waiting = [call.get("id") for call in _calls_of(message)]
        yield message
    yield from (_no_result(call_id) for call_id in waiting)


def _calls_of(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _no_result(call_id: object) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}


def _can_join(first: Mapping[str, object], second: Mapping[str, object]) -> bool:
    roles = (first.get("role"), second.get("role"))
    if roles == ("user", "user"):
        return first.get("name") == second.get("name")
    both_text = isinstance(first.get("content"), str) and isinstance(second.get("content") or "", str)
    return roles == ("assistant", "assistant") and not first.get("tool_calls") and both_text


def _joined(first: Message, second: Mapping[str, object]) -> Message:
    one, two = first.get("content") or "", second.get("content") or ""
    content: object
    if isinstance(one, str) and isinstance(two, str):
        content = f"{one} {two}".strip() if first.get("role") == "assistant" else f"{one}\n{two}".strip()
    else:
        content = [*_parts(one), *_parts(two)]
    return {**first, **second, "content": content}


def _parts(content: object) -> list[object]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
