"""What a bot may give its `PipelineTask`: how it runs, and observers, which see frames go by."""

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
    """How a pipeline runs. Sample rates in Hz; None leaves them to the transport: 8000 for a phone,
    16000 in and 24000 out otherwise.

    Attributes:
        interruption_strategy: whether speech over the bot ends its reply: `Speech()`, `MinWords(3)`,
            `Confirm()`, `NoInterruptions()` or their names "speech", "min_words", "confirm", "none".
        allow_interruptions: False is an older spelling of "none".
        enable_metrics: accepted for Pipecat's bots, as is the next; metrics are always reported.
        mute: when the user is not listened to: `MuteDuringTools()`, `MuteUntilBotSpoke()`, your own.
        idle_prompt: what to do about a user who says nothing.
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

    A frame that passes through ten processors is shown ten times, each time as the same object. What
    an observer raises is logged and forgotten: the call goes on.
    """

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """The types to be shown, with their subclasses. A class attribute will do."""
        return ()

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Called before the neighbour of `source` receives the frame."""


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
