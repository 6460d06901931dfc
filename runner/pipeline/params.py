"""`PipelineParams` and `Observer`: the parameters and observers of a `PipelineTask`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from runner.frames import Frame, FrameDirection
from runner.processors.base import FrameProcessor, Watcher
from runner.turns.end_of_turn import IdlePrompt
from runner.turns.interruption import InterruptionStrategy, Mute

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """How a pipeline runs. Sample rates in Hz; None = the transport's: 8000 for a phone, otherwise 16000 in
    and 24000 out.

    Attributes:
        interruption_strategy: whether speech over the bot ends its reply: `Speech()`, `MinWords(3)`,
            `Confirm()`, `NoInterruptions()` or their names "speech", "min_words", "confirm", "none".
        allow_interruptions: False is an older spelling of "none".
        enable_metrics: ignored, like `enable_usage_metrics`: metrics are always reported. For Pipecat's bots.
        mute: when to ignore the user: `MuteDuringTools()`, `MuteUntilBotSpoke()` or your own.
        idle_prompt: what to do when the user says nothing.
    """

    audio_in_sample_rate: int | None = None
    audio_out_sample_rate: int | None = None
    allow_interruptions: bool = True
    enable_metrics: bool = True
    enable_usage_metrics: bool = True
    interruption_strategy: InterruptionStrategy | str = "speech"
    mute: Sequence[Mute] = ()
    idle_prompt: IdlePrompt | None = None


class Observer(Protocol):
    """Sees every push of the frame types that it names.

    A frame that passes ten processors is shown ten times, as the same object. An exception in an observer is
    logged and does not affect the call.
    """

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """The frame types to show, including subclasses. May be a class attribute."""
        return ()

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Called before the neighbour of `source` receives the frame."""


def watch_with(observer: Observer, watchers: dict[type[Frame], tuple[Watcher, ...]]) -> None:
    """Show `observer` the frames of its types, including subclasses."""

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
