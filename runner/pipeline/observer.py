"""Those who look on: they see frames go by, and change nothing."""

from __future__ import annotations

from typing import Protocol

from runner.frames import Frame, FrameDirection
from runner.processors.base import FrameProcessor


class Observer(Protocol):
    """Sees every push of the frame types that it names.

    A frame that passes through ten processors is shown ten times, each time as the same object. What
    an observer raises is logged and forgotten: the call goes on.
    """

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """The types to be shown, with their subclasses. A class attribute will do."""
        return ()

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Called before the neighbour of `source` receives the frame."""
