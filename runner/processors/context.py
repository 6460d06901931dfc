"""`LLMContext`: the messages and tools of a conversation, and a summary when it is long."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runner.errors import UsageError

Message = dict[str, Any]

SNAPSHOT_VERSION = 1

SUMMARY = "What was said before, in short: "
"""Prefix of the system message that replaces older messages (`Summarize`)."""


_tool_check: Callable[[list[Any]], None] | None = None


def register_tool_check(check: Callable[[list[Any]], None]) -> None:
    """Register a check of the tools given to any context; `check` raises `UsageError`."""
    global _tool_check
    _tool_check = check


class LLMContext:
    """The messages of a conversation, in the format of OpenAI's chat API, and the available tools."""

    def __init__(
        self, messages: Iterable[Mapping[str, Any]] = (), tools: Iterable[Any] | None = None
    ) -> None:
        self.messages: list[Message] = [_message(message) for message in _listed(messages)]
        if callable(tools):
            raise UsageError(f"tools are a list: tools=[{getattr(tools, '__name__', tools)}]")
        self.tools: list[Any] = []
        self.set_tools(tools or ())

    def add(self, role: str, content: str) -> None:
        """Append one message."""
        self.messages.append({"role": role, "content": content})

    def last_user_text(self) -> str:
        """The user's last message; "" if there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return str(message.get("content") or "")
        return ""

    # ------------------------------------------------------------ saved and restored

    def snapshot(self) -> dict[str, Any]:
        """The conversation as a JSON value, for `restore`."""
        messages = json.loads(json.dumps(self.messages, ensure_ascii=False, default=str))
        return {"version": SNAPSHOT_VERSION, "messages": messages}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore the conversation from a snapshot, behind this context's own system messages."""
        if snapshot.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"this is not a snapshot of version {SNAPSHOT_VERSION}: {str(snapshot)[:80]}")
        own = [message for message in self.messages if is_instruction(message)]
        conversation = [dict(message) for message in snapshot["messages"] if not is_instruction(message)]
        self.messages[:] = [*own, *conversation]

    def fork(self, *messages: Message) -> LLMContext:
        """A copy of this context with more messages at its end."""
        forked = copy.copy(self)
        forked.messages = [*self.messages, *messages]
        return forked

    # ------------------------------------------------------------ Pipecat's names

    def add_message(self, message: Mapping[str, Any]) -> None:
        self.messages.append(dict(message))

    def add_messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self.messages.extend(dict(message) for message in messages)

    def set_messages(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self.messages[:] = [dict(message) for message in messages]

    def get_messages(self) -> list[Message]:
        return self.messages

    def set_tools(self, tools: Iterable[Any]) -> None:
        given = list(tools)
        if given and _tool_check is not None:
            _tool_check(given)
        self.tools[:] = given


def is_instruction(message: Mapping[str, Any]) -> bool:
    """Whether the message is an instruction of the bot rather than part of the conversation."""
    if message.get("role") not in ("system", "developer"):
        return False
    return not str(message.get("content") or "").startswith(SUMMARY)


OpenAILLMContext = LLMContext
"""Alias: the older name in Pipecat."""


def _listed(messages: Iterable[Any]) -> Iterable[Any]:
    return [messages] if isinstance(messages, str) else messages


def _message(message: Any) -> Message:
    if isinstance(message, str):
        shape = {"role": "system", "content": message}
        raise UsageError(f"messages are a list of dictionaries such as {shape}, not {message!r}")
    return dict(message)


CHARS_PER_TOKEN = 4
"""Rough figure for English; no exact one is needed here."""

INSTRUCTION = (
    "Sum up the conversation so far for yourself, who will go on with it: facts, names, numbers, wishes, "
    "what was promised and what is open. A few short sentences, no greeting."
)


class Summariser(Protocol):
    """A language model that can write the summary, such as an `LLMService`."""

    def run_llm(self, context: LLMContext) -> AsyncIterator[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Summarize:
    """When and how to shorten a conversation.

    Attributes:
        llm: writes the summary; may be the conversation's own service.
        after_messages: number of messages at which to summarize; None: no limit.
        after_tokens: approximate number of tokens at which to summarize; None: no limit.
        keep: minimum number of recent messages to keep; the first one kept is always a user's.
    """

    llm: Summariser
    after_messages: int | None = 40
    after_tokens: int | None = None
    keep: int = 8

    def is_due(self, messages: Sequence[Message]) -> bool:
        """Whether the conversation has reached a limit."""
        tokens = sum(len(str(message.get("content") or "")) for message in messages) // CHARS_PER_TOKEN
        too_many = self.after_messages is not None and len(messages) >= self.after_messages
        return too_many or (self.after_tokens is not None and tokens >= self.after_tokens)

    def old(self, messages: Sequence[Message]) -> tuple[int, int]:
        """The index range of the messages to summarize. It never separates a tool call from its result,
        because the first message kept is a user's."""
        begin = next((i for i, message in enumerate(messages) if not is_instruction(message)), len(messages))
        end = max(len(messages) - self.keep, begin)
        while begin < end < len(messages) and messages[end].get("role") != "user":
            end -= 1
        return begin, end

    async def shorten(self, context: LLMContext) -> bool:
        """Replace the old messages by a summary; messages added meanwhile stay behind it."""
        begin, end = self.old(context.messages)
        old = context.messages[begin:end]
        if len(old) < 2:
            return False
        asked = LLMContext([*old, {"role": "system", "content": INSTRUCTION}])
        text = "".join([piece async for piece in self.llm.run_llm(asked) if isinstance(piece, str)]).strip()
        now = context.messages[begin:end]
        if not text or len(now) != len(old) or any(a is not b for a, b in zip(now, old, strict=True)):
            return False
        context.messages[begin:end] = [{"role": "system", "content": SUMMARY + text}]
        return True
