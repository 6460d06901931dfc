"""What a conversation remembers: its messages, and the tools on offer. The aggregators write it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
            raise ValueError(f"this is no snapshot of version {SNAPSHOT_VERSION}: {str(snapshot)[:80]}")
        own = [message for message in self.messages if is_instruction(message)]
        told = [dict(message) for message in snapshot["messages"] if not is_instruction(message)]
        self.messages[:] = [*own, *told]

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
