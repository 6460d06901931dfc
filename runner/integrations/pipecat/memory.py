"""The conversation that a save keeps: the messages of Pipecat's contexts, without the prompts.

The new code's own messages stay, so an edited prompt is in force; the history follows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMSpecificMessage

from runner.processors.handover_state import SYSTEM_ROLES

_SPECIFIC = "botrun_llm_specific"


class ContextMemory:
    """One `LLMContext`, or an older context with `messages` and `set_messages`."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self._own = list(self._get())
        """What the bot's code put there, before anything was said."""
        self._before_greeting: int | None = None

    @property
    def messages(self) -> list[dict[str, Any]]:
        """A copy, as plain dictionaries."""
        return [_as_dict(message) for message in self._get()]

    @messages.setter
    def messages(self, messages: list[dict[str, Any]]) -> None:
        self._set([_from_dict(message) for message in messages])

    def snapshot(self) -> dict[str, Any]:
        """The messages as JSON; `own` of them, at the beginning, came from the bot's code."""
        messages = json.loads(json.dumps(self.messages, default=str))
        return {"version": 1, "messages": messages, "own": self._count_own()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Put the history of older code behind this code's messages."""
        came = snapshot["messages"][int(snapshot.get("own", 0)) :]
        history = [_from_dict(message) for message in came if not _is_instruction(message)]
        self._set([*self._own, *history])

    # ------------------------------------------------------------ greetings

    def greeting_begins(self) -> None:
        """What the bot adds from here on may be the instruction to greet."""
        self._before_greeting = len(self._get())

    def forget_greeting(self) -> None:
        """The greeting is not said: remove its instruction."""
        if self._before_greeting is not None:
            self._set(list(self._get())[: self._before_greeting])

    def replace_own(self, messages: list[Any]) -> None:
        """The bot's code begins again with these messages: keep the history behind them."""
        history = list(self._get())[self._count_own() :]
        self._own = list(messages)
        self._set([*messages, *(m for m in history if not _is_instruction(_as_dict(m)))])
        self._before_greeting = len(self._get())

    # ------------------------------------------------------------ inside

    def _get(self) -> list[Any]:
        get = getattr(self.context, "get_messages", None)
        return list(get() if get is not None else self.context.messages)

    def _set(self, messages: list[Any]) -> None:
        self.context.set_messages(messages)

    def _count_own(self) -> int:
        """How many of the bot's own messages are still at the beginning."""
        count = 0
        for mine, there in zip(self._own, self._get(), strict=False):
            if mine != there:
                break
            count += 1
        return count


def _is_instruction(message: Mapping[str, Any]) -> bool:
    return message.get("role") in SYSTEM_ROLES


def _as_dict(message: Any) -> dict[str, Any]:
    if isinstance(message, LLMSpecificMessage):
        return {"role": _SPECIFIC, "llm": message.llm, "message": message.message}
    return dict(message)


def _from_dict(message: Mapping[str, Any]) -> Any:
    if message.get("role") == _SPECIFIC:
        return LLMSpecificMessage(llm=message["llm"], message=message["message"])
    return dict(message)
