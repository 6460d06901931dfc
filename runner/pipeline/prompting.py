"""Speaks to a user who says nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runner.eventloop.clock import Clock
from runner.frames import (
    EndFrame,
    Frame,
    FrameDirection,
    LLMMessagesAppendFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
)
from runner.pipeline.monitors.activity import IdleWatch
from runner.processors.base import FrameProcessor
from runner.turns.idle import AskLLM, EndCall, IdlePrompt, Say


class Prompting(IdleWatch):
    """Takes the next step of an `IdlePrompt` after each silence; the user's speech begins it anew."""

    def __init__(self, prompt: IdlePrompt, clock: Clock, queue: Callable[[Frame], Awaitable[None]]) -> None:
        super().__init__(prompt.after_s, clock, lambda reason: None)
        self._prompt = prompt
        self._queue = queue
        self._taken = 0

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        await super().on_push_frame(source, frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            self._taken = 0

    async def run(self) -> None:
        while True:
            await self.silence()
            step = self._prompt.step(self._taken)
            self._taken += 1
            self._last = self._clock()
            if step is not None:
                await self._take(step)

    async def _take(self, step: Say | AskLLM | EndCall) -> None:
        match step:
            case Say(text=text):
                await self._queue(TTSSpeakFrame(text))
            case AskLLM(instruction=instruction):
                await self._queue(LLMMessagesAppendFrame([{"role": "system", "content": instruction}]))
            case EndCall(text=text):
                if text:
                    await self._queue(TTSSpeakFrame(text))
                await self._queue(EndFrame(reason="the user said nothing"))
