"""Tool calls: what a running tool can do, and how calls are read and written in OpenAI's shape.

A call and its answer are added to a context together, at first with the answer "running", because OpenAI's
server requires an answer for every call (openai 3.54.0, types/chat/chat_completion_tool_message_param.py and
chat_completion_message_function_tool_call_param.py).
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    TransferCallFrame,
    TTSSpeakFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor
from runner.processors.context import LLMContext, Message

Push = Callable[[Frame, FrameDirection], Awaitable[None]]


class LanguageModel(FrameProcessor):
    """A language model, as its tools see it. `LLMService` is one."""

    def push_after_reply(self, frame: Frame) -> None:
        """Push a frame after the current reply."""
        raise NotImplementedError(f"{type(self).__name__} does not override push_after_reply")


@dataclass(frozen=True, slots=True)
class MalformedCall(FunctionCall):
    """A call whose arguments are not a JSON object; `raw` is what the model wrote."""

    raw: str


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool's call while it runs. A parameter of this type is filled in by botrun and hidden from the model.

    Attributes:
        function_name: the tool's name.
        tool_call_id: the call's id in the context.
        arguments: the model's arguments.
        context: the conversation.
        llm: the language model's service.
        reply_id: the reply that the call belongs to.
    """

    function_name: str
    tool_call_id: str
    arguments: Mapping[str, Any]
    context: LLMContext
    llm: LanguageModel
    reply_id: int | None
    push: Push = field(repr=False)
    answers: list[Any] = field(default_factory=list, repr=False)

    async def push_frame(self, frame: Frame, direction: FrameDirection = DOWNSTREAM) -> None:
        """Push a frame from the language model's place in the pipeline."""
        await self.push(frame, direction)

    async def say(self, text: str) -> None:
        """Speak this now, as part of the reply."""
        await self.push(TTSSpeakFrame(text, reply_id=self.reply_id), DOWNSTREAM)

    async def end_call(self, reason: str = "") -> None:
        """Hang up once the reply has been played."""
        await self.push(EndTaskFrame(reason or f"ended by {self.function_name}"), UPSTREAM)

    async def transfer(self, to: str) -> None:
        """Transfer the caller to a number such as "+14155550100" once the reply has been played."""
        self.llm.push_after_reply(TransferCallFrame(to=to))

    async def result_callback(self, result: Any, *, properties: Any = None) -> None:
        """Return the result, once; Pipecat's alternative to a return value."""
        self.answers.append(result)


FunctionCallParams = ToolCall
"""Pipecat's name."""


RUNNING = json.dumps({"status": "running"})
CANCELLED = json.dumps({"status": "cancelled", "reason": "the user interrupted"})


def write_down(context: LLMContext, calls: Sequence[FunctionCall]) -> list[Message]:
    """Append the calls to the context; returns the message for each call's answer."""
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
    """A tool's result as a JSON value; None becomes `{"status": "done"}`."""
    if result is None:
        return {"status": "done"}
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(result, fallback=str)


def asked_with(context: LLMContext, said: str) -> LLMContext:
    """The context for the next request within a reply.

    What the model `said` before its calls is put into the same message. What the caller has heard of this
    reply since then is left out, because a server would take it for a complete reply.
    """
    messages = list(context.messages)
    last = _last_call(messages)
    if last is None:
        return context
    end = max(i for i, message in enumerate(messages) if message.get("role") == "tool") + 1
    later = [message for message in messages[end:] if message.get("role") != "assistant"]
    spoke_before = last > 0 and _is_speech(messages[last - 1])
    if said.strip() and not spoke_before:
        messages[last] = {**messages[last], "content": said.strip()}
    view = copy.copy(context)
    view.messages = [*messages[:end], *later]
    return view


def _last_call(messages: Sequence[Message]) -> int | None:
    found = (i for i in range(len(messages) - 1, -1, -1) if messages[i].get("tool_calls"))
    return next(found, None)


def _is_speech(message: Message) -> bool:
    return message.get("role") == "assistant" and not message.get("tool_calls")


@dataclass(slots=True)
class _Call:
    index: object
    call_id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are complete, non-empty JSON."""
        return bool(_parsed(self.arguments))


class CallPieces:
    """Joins the pieces in which OpenAI-compatible servers stream the tool calls of one answer.

    The form (openai 3.54.0, `types/chat/chat_completion_chunk.py`): the first piece of a call has `index`,
    `id` and `function.name`; further ones have the same `index` and more of `function.arguments`. Servers
    differ: no `index`, or 0 for every call; no `id`, one `id` for all calls, or another one with each piece;
    the name repeated with each piece; arguments as an object, as JSON inside JSON, as `null`, repeated so
    far, or `{}` followed by the real ones.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, piece: Mapping[str, Any]) -> None:
        """Add one piece: an item of `tool_calls` in a delta or a whole message."""
        function = piece.get("function")
        if not isinstance(function, Mapping):
            function = piece  # some servers put name and arguments next to the id
        name = str(function.get("name") or "")
        call_id = str(piece.get("id") or "")
        arguments = _as_text(function.get("arguments"))
        call = self._belongs_to(piece.get("index"), call_id, name, arguments)
        if call is None:
            call = _Call(piece.get("index"), call_id, name)
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        if name and name != call.name:
            call.name += name
        if arguments and not (call.is_whole and arguments == call.arguments):
            call.pieces.append(arguments)

    def calls(self) -> list[FunctionCall]:
        """The calls, once the answer is complete. Ids are unique."""
        made: list[FunctionCall] = []
        taken: set[str] = set()
        for call in self._calls:
            if not call.name and not call.arguments:
                continue
            call_id = call.call_id or f"call_{len(made)}"
            while call_id in taken:
                call_id = f"{call_id}_{len(made)}"
            taken.add(call_id)
            made.append(_as_call(call, call_id))
        return made

    def _belongs_to(self, index: object, call_id: str, name: str, arguments: str) -> _Call | None:
        """The call that this piece continues; None if it begins one."""
        call = self._candidate(index, call_id, name)
        if call is None or not name or not call.name:
            return call
        same_id = bool(call_id) and call_id == call.call_id
        if call_id and call.call_id and not same_id:
            return None
        if name != call.name:
            return call if self._goes_on_with_name(call, index, call_id) else None
        if call.is_whole:
            return call if same_id and arguments in ("", call.arguments) else None
        return call

    def _goes_on_with_name(self, call: _Call, index: object, call_id: str) -> bool:
        return index is not None and bool(call.call_id) and not call_id and not call.pieces

    def _candidate(self, index: object, call_id: str, name: str) -> _Call | None:
        calls = list(reversed(self._calls))
        if index is not None and (same := next((call for call in calls if call.index == index), None)):
            return same
        if index is None and call_id and (same := next((c for c in calls if c.call_id == call_id), None)):
            return same
        last = calls[0] if calls else None
        if index is not None:
            return None if name or call_id else last
        return None if name and call_id else last


def pieces_in(value: Any) -> Iterable[Mapping[str, Any]]:
    """The pieces in `tool_calls` of a delta: a list, or a single one."""
    pieces = value if isinstance(value, list) else [value]
    return (piece for piece in pieces if isinstance(piece, Mapping))


def _as_text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def _as_call(call: _Call, call_id: str) -> FunctionCall:
    arguments = _parsed(call.arguments)
    if arguments is None:
        arguments = _repeated_so_far(call.pieces)
    if arguments is None:
        return MalformedCall(call.name, call_id, {}, call.arguments)
    return FunctionCall(call.name, call_id, arguments)


def _parsed(text: str) -> dict[str, Any] | None:
    """The object in this JSON; of several values, the one that is not empty. None if it is not an object; {}
    for empty text or `null`."""
    decoder = json.JSONDecoder(strict=False)
    found: list[Any] = []
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            return None
        if value not in ({}, None, ""):
            found.append(value)
        rest = rest[end:].lstrip()
    if not found:
        return {}
    if any(value != found[0] for value in found):
        return None
    if isinstance(found[0], str):  # JSON inside JSON
        return _parsed(found[0])
    return found[0] if isinstance(found[0], dict) else None


def _repeated_so_far(pieces: list[str]) -> dict[str, Any] | None:
    """The arguments, if each piece repeats everything before it."""
    grows = all(later.startswith(earlier) for earlier, later in itertools.pairwise(pieces))
    return _parsed(pieces[-1]) if grows and len(pieces) > 1 else None
