"""The state that moves with a call to newer code: contexts, the bot's own state, who speaks.

Each session has one `Conversation`, in its port (`transports/session_port.py`). `PipelineTask` takes it from
there, joins the contexts of its aggregators, attaches itself, and passes it to its processors
(`ProcessorSetup.conversation`). A pipeline of another framework does the same:

    conversation = current_port().conversation
    conversation.join(memory)        # once for each `Memory`, before the first frame
    conversation.attach(pipeline)    # a `RunningPipeline`

and runs its handlers for a new caller in a `with greeting():` block; frames queued there are dropped if
`is_second_greeting`. The state is handed over as JSON, not pickled, because the new code may have other
classes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

from runner.frames import Frame, LLMContextFrame, LLMMessagesAppendFrame, LLMRunFrame, TTSSpeakFrame

SYSTEM_ROLES = ("system", "developer")


class Memory(Protocol):
    """A context that can be handed over: its messages in the format of OpenAI's chat API."""

    messages: list[dict[str, Any]]

    def snapshot(self) -> dict[str, Any]: ...
    def restore(self, snapshot: Mapping[str, Any]) -> None: ...


class RunningPipeline(Protocol):
    """The interface of a pipeline to its conversation."""

    def busy(self) -> str:
        """What a move would interrupt now, in words; "" in a silence."""

    def bot_speaks(self) -> bool:
        """Whether the bot is preparing or speaking a reply."""

    def interrupt(self) -> object:
        """Silence the bot."""

    def answer(self) -> None:
        """Have the model answer the last turn."""

    def client_major(self) -> int | None:
        """The major version of RTVI that the client announced, if any."""


class Conversation:
    """One call's state that moves with it.

    Args:
        arrived: the result of `pack` in another process; None for a new call.

    Attributes:
        state: `runner_args.session_state`.
        resumed: whether anything was said under older code.
        spoken: whether the bot has spoken.
        goes_on: whether the call began under older code.
        secs: its duration under older code (s).
        turn_s: its turn latencies under older code (s).
        kept_major: the major version of RTVI that the client announced to older code and will not announce
            again.
        leaves: whether this code answers no more turns, because newer code does or botrun stops.
        owes_answer: whether a turn of the user was left to newer code.
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
        self._pipeline: RunningPipeline | None = None
        self.kept_major: int | None = arrived.get("client_major") if arrived.get("client_kept") else None
        self.leaves = False
        self.owes_answer = bool(arrived.get("owes_answer"))

    def attach(self, pipeline: RunningPipeline) -> None:
        """Make this the pipeline that serves the call."""
        self._pipeline = pipeline

    def busy(self) -> str:
        """What a move would interrupt now, in words; "" in a silence or without a pipeline."""
        return "" if self._pipeline is None else self._pipeline.busy()

    def bot_speaks(self) -> bool:
        """Whether the bot is preparing or speaking a reply; False without a pipeline."""
        return self._pipeline is not None and self._pipeline.bot_speaks()

    def interrupt(self) -> None:
        """Silence the bot."""
        if self._pipeline is not None:
            self._pipeline.interrupt()

    def join(self, memory: Memory) -> None:
        """Register a context to hand over, and add the history of its counterpart under older code behind its
        prompt. Does nothing for a context that has joined before."""
        if any(memory is joined for joined in self._memories):
            return
        index = len(self._memories)
        self._memories.append(memory)
        if index < len(self._arrived):
            memory.restore(self._arrived[index])

    def leave_answer(self) -> bool:
        """Whether to leave the answer to the turn that has just ended to newer code."""
        self.owes_answer = self.owes_answer or self.leaves
        return self.leaves

    def stay(self) -> None:
        """The call was not taken over: continue it with this code."""
        self.leaves = False
        self.give_owed_answer()

    def give_owed_answer(self) -> None:
        """Answer the turn that was left to newer code, if any."""
        if self.owes_answer:
            self.owes_answer = False
            if self._pipeline is not None:
                self._pipeline.answer()

    def forget_greeting(self) -> None:
        """Remove the greeting's instruction to the model, because the greeting is not repeated."""
        for memory in self._memories:
            while memory.messages and _is_greeting(memory.messages):
                memory.messages.pop()

    def pack(self) -> tuple[dict[str, Any], list[str]]:
        """The state as JSON, and sentences about what is not JSON."""
        lost: list[str] = []
        for memory in self._memories:
            lost += _not_json(memory.messages)
        memories = [memory.snapshot() for memory in self._memories]
        # If the bot failed before it created its contexts, pass on the ones it received.
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
            "client_major": None if self._pipeline is None else self._pipeline.client_major(),
        }
        return {"memories": memories, "state": state, **facts}, lost


def _not_json(messages: list[dict[str, Any]]) -> list[str]:
    """Say how many messages are not JSON; a snapshot moves these as text."""
    bad = sum(not _is_json(message) for message in messages)
    return [f"{bad} of the conversation's messages moved as text because they are not JSON"] if bad else []


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
    """Whether the last message is an instruction after the conversation, not the prompt before it."""
    said = any(message.get("role") not in SYSTEM_ROLES for message in messages)
    return said and messages[-1].get("role") in SYSTEM_ROLES


# ------------------------------------------------------------------ greetings


class _Greeting:
    """A handler for a new caller that is running."""

    under_way = True


_greeting: ContextVar[_Greeting | None] = ContextVar("botrun greeting", default=None)


@contextlib.contextmanager
def greeting() -> Iterator[None]:
    """Mark frames queued in this block, by a handler for a new caller, as a greeting."""
    mine = _Greeting()
    token = _greeting.set(mine)
    try:
        yield
    finally:
        mine.under_way = False
        _greeting.reset(token)


def is_greeting() -> bool:
    """Whether this runs in a `greeting` block, or in a task started there while the block runs."""
    found = _greeting.get()
    return found is not None and found.under_way


_SPEAKING = (TTSSpeakFrame, LLMRunFrame, LLMContextFrame, LLMMessagesAppendFrame)


def is_second_greeting(call: Conversation, frame: Frame, *, running: bool) -> bool:
    """Whether this frame would repeat a greeting given under older code. A greeting is a frame that makes the
    bot speak before its pipeline is `running`, or from a `greeting` block. Also removes its instruction."""
    if not call.resumed or not isinstance(frame, _SPEAKING):
        return False
    if running and not is_greeting():
        return False
    call.forget_greeting()
    return True
