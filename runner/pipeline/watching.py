"""Shows observers the frames that they asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from runner.frames import Frame, FrameDirection
from runner.pipeline.observer import Observer
from runner.processors.base import FrameProcessor, Watcher

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
