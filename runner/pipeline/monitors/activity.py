"""Ends a call in which nobody speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runner.eventloop.clock import Clock
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    InputTransportMessageFrame,
    LLMContextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.observer import Observer
from runner.processors.base import FrameProcessor

IDLE = "idle"
"""Why such a run is over."""


class IdleWatch(Observer):
    """Calls `finish("idle")` when neither side has spoken or typed for `timeout_s`."""

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        InputTransportMessageFrame,
        LLMContextFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, timeout_s: float, clock: Clock, finish: Callable[[str], None]) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._finish = finish
        self._last = clock()
        self._speaking: set[str] = set()

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        self._last = self._clock()
        match frame:
            case BotStartedSpeakingFrame():
                self._speaking.add("bot")
            case BotStoppedSpeakingFrame():
                self._speaking.discard("bot")
            case UserStartedSpeakingFrame():
                self._speaking.add("user")
            case UserStoppedSpeakingFrame():
                self._speaking.discard("user")

    async def run(self) -> None:
        """Finishes the call after the silence."""
        await self.silence()
        self._finish(IDLE)

    async def silence(self) -> None:
        """Sleeps until the silence could be long enough, and looks again."""
        while True:
            quiet_s = 0.0 if self._speaking else self._clock() - self._last
            if quiet_s >= self._timeout_s:
                return
            await asyncio.sleep(max(self._timeout_s - quiet_s, 0.01))
