"""The memory of a conversation: its messages, the tools on offer, and a summary when it is long."""

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
"""So begins the system message that stands for older ones (`summary.py`)."""


_tool_check: Callable[[list[Any]], None] | None = None


def register_tool_check(check: Callable[[list[Any]], None]) -> None:
    """Have the tools of each context checked when it gets them; `check` raises `UsageError`."""
    global _tool_check
    _tool_check = check


class LLMContext:
    """The messages of a conversation, in the shape of OpenAI's chat API, and the tools on offer."""

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
        """What the user said last; empty if nothing yet."""
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
        """Go on from a snapshot: our own system messages stay, the conversation follows them."""
        if snapshot.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"this is not a snapshot of version {SNAPSHOT_VERSION}: {str(snapshot)[:80]}")
        own = [message for message in self.messages if is_instruction(message)]
        conversation = [dict(message) for message in snapshot["messages"] if not is_instruction(message)]
        self.messages[:] = [*own, *conversation]

    def fork(self, *messages: Message) -> LLMContext:
        """This context with more messages at its end; ours is left as it is."""
        forked = copy.copy(self)
        forked.messages = [*self.messages, *messages]
        return forked

    # ------------------------------------------------------------ as Pipecat spells it

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
    """Whether this is the bot's own, and not part of the conversation."""
    if message.get("role") not in ("system", "developer"):
        return False
    return not str(message.get("content") or "").startswith(SUMMARY)


OpenAILLMContext = LLMContext
"""Pipecat's older name."""


def _listed(messages: Iterable[Any]) -> Iterable[Any]:
    return [messages] if isinstance(messages, str) else messages


def _message(message: Any) -> Message:
    if isinstance(message, str):
        shape = {"role": "system", "content": message}
        raise UsageError(f"messages are a list of dictionaries such as {shape}, not {message!r}")
    return dict(message)


CHARS_PER_TOKEN = 4
"""About, in English; nothing here needs it exactly."""

INSTRUCTION = (
    "Sum up the conversation so far for yourself, who will go on with it: facts, names, numbers, wishes, "
    "what was promised and what is open. A few short sentences, no greeting."
)


class Summariser(Protocol):
    """A language model, as the summary needs it: `LLMService` is one."""

    def run_llm(self, context: LLMContext) -> AsyncIterator[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Summarize:
    """When and how a conversation is shortened.

    Attributes:
        llm: writes the summary; the conversation's own service will do.
        after_messages: begin when so many messages stand in the context; None: whatever their number.
        after_tokens: begin when there are about so many tokens; None: whatever their number.
        keep: so many of the last messages stay as they are, and more, so that the first is a user's.
    """

    llm: Summariser
    after_messages: int | None = 40
    after_tokens: int | None = None
    keep: int = 8

    def is_due(self, messages: Sequence[Message]) -> bool:
        """Whether the conversation has become long."""
        tokens = sum(len(str(message.get("content") or "")) for message in messages) // CHARS_PER_TOKEN
        too_many = self.after_messages is not None and len(messages) >= self.after_messages
        return too_many or (self.after_tokens is not None and tokens >= self.after_tokens)

    def old(self, messages: Sequence[Message]) -> tuple[int, int]:
        """The messages to be summed up, from one index to another. A call of a tool and its answer are
        never parted, for what stays begins with a user's turn."""
        begin = next((i for i, message in enumerate(messages) if not is_instruction(message)), len(messages))
        end = max(len(messages) - self.keep, begin)
        while begin < end < len(messages) and messages[end].get("role") != "user":
            end -= 1
        return begin, end

    async def shorten(self, context: LLMContext) -> bool:
        """Put a summary in place of the old messages; those that come meanwhile stay behind it."""
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
