"""Language models: an `LLMContextFrame` in, a reply out as it streams."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator

from runner.frames import (
    Frame,
    FrameDirection,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor, survives_interruption
from runner.processors.context import LLMContext
from runner.processors.line import stands_in_line
from runner.services.work import ReplyWork, push_failure


class LLMService(FrameProcessor):
    """A language model. Override `run_llm`.

    A reply is made in a task of its own; an interruption, or a newer question, ends it. What must not
    overtake a reply (an `EndFrame`, something to say) waits until it is complete.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._work: ReplyWork | None = None
        self._reply_id: int | None = None
        self._line: deque[Frame] = deque()

    def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        """Answer the context: yield text as it comes, or whole frames to be pushed. Raise
        `ServiceError` with one sentence when the model cannot answer."""
        raise NotImplementedError(f"{type(self).__name__} does not override run_llm")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMContextFrame) and direction is DOWNSTREAM:
            await self.answer(frame.context, skip_tts=frame.skip_tts)
        elif direction is DOWNSTREAM and self._busy and stands_in_line(frame):
            self._line.append(frame)
        else:
            await self.push_frame(frame, direction)

    async def answer(self, context: LLMContext, *, skip_tts: bool = False) -> None:
        """Begin a reply to this context; one that is under way ends. With `skip_tts` it is not spoken."""
        await self._end_reply()
        reply_id = self._reply_id = self.lent.replies.new()
        self._work = ReplyWork(self).start(
            lambda work: self._reply(work, context, reply_id, skip_tts), "reply"
        )

    def interrupted(self) -> None:
        self._line = deque(frame for frame in self._line if survives_interruption(frame))
        if self._busy:
            self.create_task(self._end_reply(), "interrupted")

    @property
    def _busy(self) -> bool:
        return self._work is not None and self._work.running

    async def _end_reply(self) -> None:
        """Stop the reply that is under way, and let out what waited for it."""
        if self._work is None or not self._work.running:
            return
        self._work.stop()
        await self.push_frame(LLMFullResponseEndFrame(reply_id=self._reply_id))
        await self._release()

    async def _reply(self, work: ReplyWork, context: LLMContext, reply_id: int, skip_tts: bool) -> None:
        await work.push(LLMFullResponseStartFrame(skip_tts, reply_id=reply_id))
        asked_at = self.lent.clock()
        first = True
        try:
            async with contextlib.aclosing(self.run_llm(context)) as pieces:
                async for piece in pieces:
                    if first:
                        first = False
                        waited_ms = (self.lent.clock() - asked_at) * 1000
                        await work.push(MetricsFrame("ttfb", self.name, waited_ms))
                    if isinstance(piece, str):
                        piece = LLMTextFrame(piece, reply_id=reply_id)
                    await work.push(piece)
        except Exception as error:  # the boundary to the service's own code
            await push_failure(self, error)
        await work.push(LLMFullResponseEndFrame(reply_id=reply_id))
        self._work = None
        await self._release()

    async def _release(self) -> None:
        while self._line and not self._busy:
            await self.push_frame(self._line.popleft())
