"""`ScriptedDialogue`: a small script in the language model's place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    TranscriptionFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM
from runner.processors.context import LLMContext
from runner.services.llm import LLMService
from runner.services.local.dialogue import Answer, answer, answer_to_a_miss, greet

_A_MISS = LLMContext()
"""Asked in the place of a context when there was speech but no words."""


def _local_time() -> datetime:
    return datetime.now().astimezone()


class ScriptedDialogue(LLMService):
    """Answers a handful of requests without any model: time, date, jokes, counting, repeating, help.

    After "goodbye" it ends the call, once its own goodbye has been heard. Speech that could not be
    understood (a `TranscriptionFrame` without text) is answered as well.

    Args:
        now: tells the wall-clock time; for tests.
    """

    def __init__(self, *, now: Callable[[], datetime] = _local_time, name: str | None = None) -> None:
        super().__init__(name=name)
        self.now = now
        self._misses = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame) and direction is DOWNSTREAM and not frame.text.strip():
            self._misses += 1
            if answer_to_a_miss(self._misses) is not None:
                await self.answer(_A_MISS)

    def reply_to(self, context: LLMContext) -> Answer | FunctionCall:
        """The reply to a context. Override it for a script of your own: a `FunctionCall` calls a tool."""
        said = _said_by_the_user(context)
        return answer(said[-1], self.now(), said[:-1]) if said else Answer(greet(""))

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        reply = self._reply_to(context)
        if isinstance(reply, FunctionCall):
            yield reply
        elif reply is not None:
            yield reply.text
        if isinstance(reply, Answer) and reply.ends_call:
            await self.push_frame(EndTaskFrame(reason="the user said goodbye"), UPSTREAM)

    def _reply_to(self, context: LLMContext) -> Answer | FunctionCall | None:
        if context is _A_MISS:
            return answer_to_a_miss(self._misses)
        self._misses = 0
        return self.reply_to(context)


def _said_by_the_user(context: LLMContext) -> list[str]:
    return [str(m.get("content") or "") for m in context.messages if m.get("role") == "user"]
