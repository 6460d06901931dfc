"""`ToolCall`: what a tool can take beside its arguments, to act on the conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
from runner.processors.context import LLMContext

Push = Callable[[Frame, FrameDirection], Awaitable[None]]


class LanguageModel(FrameProcessor):
    """A language model, as its tools see it. `LLMService` is one."""

    def push_after_reply(self, frame: Frame) -> None:
        """Push a frame after the reply under way."""
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
        """Say this now, as part of the reply."""
        await self.push(TTSSpeakFrame(text, reply_id=self.reply_id), DOWNSTREAM)

    async def end_call(self, reason: str = "") -> None:
        """Hang up once the reply has been played."""
        await self.push(EndTaskFrame(reason or f"ended by {self.function_name}"), UPSTREAM)

    async def transfer(self, to: str) -> None:
        """Transfer the caller to another number, as "+14155550100", once the reply has been played."""
        self.llm.push_after_reply(TransferCallFrame(to=to))

    async def result_callback(self, result: Any, *, properties: Any = None) -> None:
        """Pipecat's way to answer; returning the result is the same. Once."""
        self.answers.append(result)


FunctionCallParams = ToolCall
"""Pipecat's name."""
