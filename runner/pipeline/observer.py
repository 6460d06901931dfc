"""`Observer`: sees frames go by, and changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

from runner.frames import Frame, FrameDirection
from runner.processors.base import FrameProcessor, Watcher


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


logger = logging.getLogger(__name__)


def watch_with(observer: Observer, watchers: dict[type[Frame], tuple[Watcher, ...]]) -> None:
    """Show `observer` the frames of its types, kinds of these included."""

    async def watch(source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        try:
            await observer.on_push_frame(source, frame, direction)
        except Exception:  # the boundary to the observer's own code
            logger.exception("the observer %s failed on %s", type(observer).__name__, frame.name)

    kinds = {kind for wanted in observer.frame_types for kind in _kinds(wanted)}
    for kind in kinds:
        watchers[kind] = (*watchers.get(kind, ()), watch)


def _kinds(frame_type: type[Frame]) -> Iterable[type[Frame]]:
    yield frame_type
    for kind in frame_type.__subclasses__():
        yield from _kinds(kind)
