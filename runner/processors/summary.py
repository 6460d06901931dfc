"""Keeps a long conversation short: older turns become a summary, made beside the call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runner.processors.context import SUMMARY, LLMContext, Message, is_instruction

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
