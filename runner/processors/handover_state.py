"""What moves with a call to newer code: memories, the bot's own state, who speaks.

A session sets `current` for its bot. What the bot builds joins by itself: `LLMContextAggregatorPair` its
context, `PipelineTask` the question who speaks. It is handed over as JSON, never pickled: the new code
may have other classes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from runner.frames import Frame, LLMContextFrame, LLMMessagesAppendFrame, LLMRunFrame, TTSSpeakFrame

SYSTEM_ROLES = ("system", "developer")


class Memory(Protocol):
    """A context, as far as it is handed over."""

    messages: list[dict[str, Any]]

    def snapshot(self) -> dict[str, Any]: ...
    def restore(self, snapshot: Mapping[str, Any]) -> None: ...


class Conversation:
    """One call's.

    Args:
        arrived: what `pack` gave in another process; None for a call that begins.

    Attributes:
        state: `runner_args.session_state`.
        resumed: whether something has been said under older code.
        spoken: whether the bot has been heard.
        goes_on: whether the call began under older code.
        secs: how long it lasted there (s).
        turn_s: its turn latencies there (s).
        busy: what goes on in it that a move would break off, in words; "" in a silence. Set by the pipeline.
        interrupt: silences the bot; None while there is no pipeline.
        answer: has the model answer what was said last; set by the pipeline.
        client_major: the major of RTVI that the client announced, if any; set by the pipeline.
        kept_major: what a client announced to older code and will not announce again.
        leaves: whether newer code waits for it, and answers the user's next turn.
        owes_answer: whether a turn of the user's was left to the newer code.
    """

    def __init__(self, arrived: Mapping[str, Any] | None = None) -> None:
        self.goes_on = arrived is not None
        arrived = arrived or {}
        self.secs = float(arrived.get("secs", 0.0))
        self.turn_s: list[float] = list(arrived.get("turn_s", ()))
        self._arrived: list[dict[str, Any]] = list(arrived.get("memories", ()))
        self._memories: list[Memory] = []
        self.state: dict[str, Any] = dict(arrived.get("state", {}))
        self.spoken = bool(arrived.get("spoken"))
        self.resumed = self.spoken or any(map(_has_history, self._arrived))
        self.busy: Callable[[], str] = lambda: ""
        self.interrupt: Callable[[], object] | None = None
        self.answer: Callable[[], None] = lambda: None
        self.client_major: Callable[[], int | None] = lambda: None
        self.kept_major: int | None = arrived.get("client_major") if arrived.get("client_kept") else None
        self.leaves = False
        self.owes_answer = bool(arrived.get("owes_answer"))

    def join(self, memory: Memory) -> None:
        """The bot remembers by this one; the history of the one in its place before follows its prompt."""
        index = len(self._memories)
        self._memories.append(memory)
        if index < len(self._arrived):
            memory.restore(self._arrived[index])

    def leave_answer(self) -> bool:
        """The user's turn is over: whether its answer is left to newer code."""
        self.owes_answer = self.owes_answer or self.leaves
        return self.leaves

    def stay(self) -> None:
        """Nobody took it: this code goes on with it."""
        self.leaves = False
        self.give_owed_answer()

    def give_owed_answer(self) -> None:
        """Answer the turn that was left to newer code, if one was."""
        if self.owes_answer:
            self.owes_answer = False
            self.answer()

    def forget_greeting(self) -> None:
        """A greeting was not said again: remove its instruction to the model."""
        for memory in self._memories:
            while memory.messages and _is_greeting(memory.messages):
                memory.messages.pop()

    def pack(self) -> tuple[dict[str, Any], list[str]]:
        """As JSON, and sentences about what cannot be carried."""
        lost: list[str] = []
        for memory in self._memories:
            lost += _not_json(memory.messages)
        memories = [memory.snapshot() for memory in self._memories]
        # A bot that failed before it had built them: what it was given goes on as it came.
        memories += self._arrived[len(memories) :]
        state = {}
        for name, value in self.state.items():
            if isinstance(name, str) and _is_json(value):
                state[name] = value
            else:
                lost.append(f"session_state[{name!r}] ({type(value).__name__}) is not JSON")
        facts = {
            "spoken": self.spoken,
            "owes_answer": self.owes_answer,
            "client_major": self.client_major(),
        }
        return {"memories": memories, "state": state, **facts}, lost


def _not_json(messages: list[dict[str, Any]]) -> list[str]:
    """A memory's snapshot is JSON whatever is in it: the rest moves as text."""
    bad = sum(not _is_json(message) for message in messages)
    return [f"{bad} of the conversation's messages went along as text: they are not JSON"] if bad else []


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _has_history(snapshot: Mapping[str, Any]) -> bool:
    messages = snapshot.get("messages", ())
    return any(message.get("role") not in SYSTEM_ROLES for message in messages)


def _is_greeting(messages: list[dict[str, Any]]) -> bool:
    """Whether the last one is an instruction behind what was said, not the prompt before it."""
    said = any(message.get("role") not in SYSTEM_ROLES for message in messages)
    return said and messages[-1].get("role") in SYSTEM_ROLES


current: ContextVar[Conversation | None] = ContextVar("botrun conversation", default=None)


# ------------------------------------------------------------------ greetings


class _Greeting:
    """What is done on the caller's coming; over when its handler has returned."""

    under_way = True


_greeting: ContextVar[_Greeting | None] = ContextVar("botrun greeting", default=None)


@contextlib.contextmanager
def greeting() -> Iterator[None]:
    """What is queued in this block, on the caller's coming, is a greeting."""
    mine = _Greeting()
    token = _greeting.set(mine)
    try:
        yield
    finally:
        mine.under_way = False
        _greeting.reset(token)


def is_greeting() -> bool:
    """Whether this code runs in a `greeting` block, or in a task that was started there while it lasts."""
    found = _greeting.get()
    return found is not None and found.under_way


_SPEAKING = (TTSSpeakFrame, LLMRunFrame, LLMContextFrame, LLMMessagesAppendFrame)


def is_second_greeting(call: Conversation | None, frame: Frame, *, running: bool) -> bool:
    """Whether this would greet such a caller, once in a call: what makes the bot speak before its pipeline
    is `running`, or from `on_client_connected`, is a greeting."""
    if call is None or not call.resumed or not isinstance(frame, _SPEAKING):
        return False
    if running and not is_greeting():
        return False
    call.forget_greeting()
    return True
