"""The two ends of a running chain, before the first processor and behind the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runner.frames import EndFrame, Frame, FrameDirection
from runner.processors.base import UPSTREAM, FrameProcessor

NAME = "PipelineTask"


class Source(FrameProcessor):
    """Stands before the first processor: what comes up to here is for the task, `on_upstream`."""

    def __init__(self, on_upstream: Callable[[Frame], Awaitable[None]]) -> None:
        super().__init__(name=NAME)
        self._on_upstream = on_upstream

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is UPSTREAM:
            await self._on_upstream(frame)
        else:
            await self.push_frame(frame, direction)


class Sink(FrameProcessor):
    """Stands behind the last processor: what comes down to here has been everywhere. An `EndFrame` there
    ends the run, with its reason."""

    is_end = True

    def __init__(self, finish: Callable[[str], None]) -> None:
        super().__init__(name=NAME)
        self._finish = finish

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is UPSTREAM:
            await self.push_frame(frame, direction)
        elif isinstance(frame, EndFrame):
            self._finish(frame.reason or "ended")
