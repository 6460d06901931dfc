"""`ToolCall`: what a tool may be given beside its arguments, to act on the conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    TransferCallFrame,
    TTSSpeakFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM
from runner.processors.context import LLMContext

if TYPE_CHECKING:
    from runner.services.llm import LLMService

Push = Callable[[Frame, FrameDirection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MalformedCall(FunctionCall):
    """A call whose arguments are no JSON object; `raw` is what the model wrote."""

    raw: str


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool while it runs. A parameter of this type is filled by us, and not shown to the model.

    Attributes:
        function_name: the tool's name.
        tool_call_id: the model's name for this call.
        arguments: what the model gave.
        context: the conversation.
        llm: the service that the model is asked through.
        reply_id: the reply that the call belongs to.
    """

    function_name: str
    tool_call_id: str
    arguments: Mapping[str, Any]
    context: LLMContext
    llm: LLMService
    reply_id: int | None
    push: Push = field(repr=False)
    answers: list[Any] = field(default_factory=list, repr=False)

    async def push_frame(self, frame: Frame, direction: FrameDirection = DOWNSTREAM) -> None:
        """Push a frame from where the language model stands."""
        await self.push(frame, direction)

    async def say(self, text: str) -> None:
        """Say this now, as part of the reply."""
        await self.push(TTSSpeakFrame(text, reply_id=self.reply_id), DOWNSTREAM)

    async def end_call(self, reason: str = "") -> None:
        """Hang up when the reply has been heard."""
        await self.push(EndTaskFrame(reason or f"ended by {self.function_name}"), UPSTREAM)

    async def transfer(self, to: str) -> None:
        """Hand the caller to another phone, "+14155550100", when the reply has been heard."""
        self.llm.push_after_reply(TransferCallFrame(to=to))

    async def result_callback(self, result: Any, *, properties: Any = None) -> None:
        """Pipecat's way to answer; returning the result is the same. Once."""
        self.answers.append(result)


FunctionCallParams = ToolCall
"""Pipecat's name."""
