"""Turn and stop latency of a call, as `MetricsFrame`s."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from runner.figures import current_call
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    MetricsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.observer import Observer
from runner.processors.base import FrameProcessor

logger = logging.getLogger(__name__)


class LatencyWatch(Observer):
    """Measures from what was heard to what was heard.

    `turn_latency`: from the end of the user's speech to the first sound of the bot at the listener.
    `stop_latency`: from the user's first sound over the bot to the bot's last.
    """

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, push: Callable[[Frame], Awaitable[None]]) -> None:
        self._push = push
        self._figures = current_call()
        self._user_started: float | None = None
        self._user_stopped: float | None = None
        self._silenced: float | None = None

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case UserStartedSpeakingFrame(at=at):
                self._user_started, self._user_stopped = at, None
                await self._tell_stop()
            case UserStoppedSpeakingFrame(at=at):
                self._user_started, self._user_stopped, self._silenced = None, at, None
            case BotStartedSpeakingFrame(at=at) if self._user_stopped is not None:
                since, self._user_stopped = self._user_stopped, None
                self._figures.turn(at - since)
                await self._tell("turn_latency", at - since)
            case BotStoppedSpeakingFrame(at=at, interrupted=True):
                self._silenced = at
                await self._tell_stop()

    async def _tell_stop(self) -> None:
        """Both ends are known. The bot may be silent before the news of the user has come up the queue."""
        if self._user_started is not None and self._silenced is not None:
            seconds, self._user_started, self._silenced = self._silenced - self._user_started, None, None
            self._figures.stop(seconds)
            await self._tell("stop_latency", seconds)

    async def _tell(self, name: str, seconds: float) -> None:
        logger.debug("%s: %.0f ms", name, seconds * 1000)
        await self._push(MetricsFrame(name, "PipelineTask", seconds * 1000))
