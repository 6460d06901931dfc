"""`FrameProcessor`: one node of a pipeline, and the rules by which frames travel.

`await push_frame(frame)` runs the neighbour's `process_frame` at once: a direct call, no queue and no
task. Two rules keep that sound:

* A processor never runs its own `process_frame` twice at once. While it is busy, a frame joins its
  mailbox and the running call drains it. `SystemFrame`s do not wait: they are handled beside it.
* An interruption never cancels a task that carries a frame. It calls `interrupted()` on every
  processor at once; what owns reply tasks or queued sound drops them there.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from runner.botcode.location import describe
from runner.errors import UsageError
from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    DataFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputFrame,
    StartFrame,
    SystemFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.floor_state import Replies
from runner.processors.handover_state import Conversation

if TYPE_CHECKING:
    import asyncio
    from contextvars import Context

    from runner.eventloop.clock import Clock
    from runner.processors.floor import Floor

logger = logging.getLogger(__name__)

DOWNSTREAM = FrameDirection.DOWNSTREAM
UPSTREAM = FrameDirection.UPSTREAM

Watcher = Callable[["FrameProcessor", Frame, FrameDirection], Coroutine[Any, Any, None]]
"""Shown a frame when a processor pushes it."""


class CreateTask(Protocol):
    """Starts a task under a name; in a context that is given, or in a copy of the current one."""

    def __call__(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]: ...


@dataclass(frozen=True, kw_only=True)
class ProcessorSetup:
    """What a pipeline gives its processors for the length of a call.

    Attributes:
        clock: seconds that only go forward.
        replies: the call's replies.
        create_task: starts a task that ends with the call; a failure in it becomes an `ErrorFrame`.
        interrupt: makes the bot silent now: see `PipelineTask.interrupt`.
        floor: whose turn it is.
        conversation: what moves with the call when the bot's code changes.
        watchers: by exact frame type, who is shown a frame that is pushed; empty for most types.
    """

    clock: Clock
    replies: Replies
    create_task: CreateTask
    interrupt: Callable[[], object]
    floor: Floor
    watchers: dict[type[Frame], tuple[Watcher, ...]]
    conversation: Conversation = field(default_factory=Conversation)


class FrameProcessor:
    """A node of a pipeline. Override `process_frame`; push on whatever is not yours.

    ```python
    class Shout(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, LLMTextFrame):
                frame = replace(frame, text=frame.text.upper())
            await self.push_frame(frame, direction)
    ```
    """

    is_end = False
    """Whether the pipeline ends here, so that nobody listens to what is pushed on."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        method = vars(cls).get("process_frame")
        # What a decorator made may well return a coroutine.
        plain = inspect.isfunction(method) and not hasattr(method, "__wrapped__")
        if plain and not inspect.iscoroutinefunction(method):
            raise UsageError(
                f"{cls.__name__}.process_frame is not async: write "
                "`async def process_frame(self, frame, direction)`"
            )

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name or type(self).__name__
        self._next: FrameProcessor | None = None
        self._previous: FrameProcessor | None = None
        self._mailbox: deque[tuple[Frame, FrameDirection]] = deque()
        self._running: Coroutine[Any, Any, None] | None = None
        self._watchers: dict[type[Frame], tuple[Watcher, ...]] = {}
        self._processor_setup: ProcessorSetup | None = None

    def __repr__(self) -> str:
        return f"<{self.name}>"

    # ------------------------------------------------------------ to override

    async def setup(self, setup: ProcessorSetup) -> None:
        """Before the `StartFrame`. All processors are set up at the same time; call `super()` first."""
        self._processor_setup = setup
        self._watchers = setup.watchers

    async def cleanup(self) -> None:
        """After the end of the call, once, whatever happened before."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Handle one frame. The base does nothing, so calling `super()` is allowed and not needed."""

    def totals(self) -> Mapping[str, float]:
        """What was counted here so far, by name (`runner.sessions.stats.Totals`). Asked for seldom."""
        return {}

    def interrupted(self) -> None:
        """The user cut in: cancel what belongs to the reply. Called for all processors at once."""

    # ------------------------------------------------------------ to use

    @property
    def processor_setup(self) -> ProcessorSetup:
        """What the pipeline provides: clock, replies, tasks. Available from `setup` on."""
        if self._processor_setup is None:
            raise RuntimeError(f"{self.name} is not part of a running pipeline yet")
        return self._processor_setup

    def push_frame(self, frame: Frame, direction: FrameDirection = DOWNSTREAM) -> Coroutine[Any, Any, None]:
        """Hand a frame to the neighbour; returns when the neighbour has handled it or taken it in."""
        neighbour = self._next if direction is DOWNSTREAM else self._previous
        # No coroutine of its own: a frame that nobody watches would wait in one more for each processor.
        if neighbour is not None and type(frame) not in self._watchers:
            return neighbour.receive(frame, direction)
        return self._push_watched(frame, direction)

    async def _push_watched(self, frame: Frame, direction: FrameDirection) -> None:
        for watcher in self._watchers.get(type(frame), ()):
            await watcher(self, frame, direction)
        neighbour = self._next if direction is DOWNSTREAM else self._previous
        if neighbour is not None:
            await neighbour.receive(frame, direction)

    async def push_error(
        self, message: str, *, fatal: bool = False, exception: BaseException | None = None
    ) -> None:
        """Report a failure upstream, where the pipeline logs it; a fatal one ends the call."""
        await self.push_frame(
            ErrorFrame(error=message, processor=self.name, fatal=fatal, exception=exception), UPSTREAM
        )

    def create_task(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task that ends with the call; in this context, or in a copy of the current one."""
        return self.processor_setup.create_task(work, f"{self.name}.{name}", context)

    # ------------------------------------------------------------ the pipeline's side

    def link(self, following: FrameProcessor) -> None:
        """Put `following` behind this processor."""
        self._next = following
        following._previous = self

    def children(self) -> Iterator[FrameProcessor]:
        """The processors that live inside of this one, deeply."""
        return iter(())

    @property
    def running(self) -> Coroutine[Any, Any, None] | None:
        """The call of `process_frame` that is under way; used to find slow ones."""
        return self._running

    async def receive(self, frame: Frame, direction: FrameDirection) -> None:
        """Take a frame from a neighbour: handle it now, or leave it for the call that is under way."""
        if isinstance(frame, SystemFrame):
            try:
                await self.process_frame(frame, direction)
            except Exception as error:
                await self._report(error, frame)
            return
        if self._running is not None:
            self._mailbox.append((frame, direction))
            return
        try:
            while True:
                self._running = call = self.process_frame(frame, direction)
                try:
                    await call
                except Exception as error:  # the boundary to the processor's own code
                    await self._report(error, frame)
                if not self._mailbox:
                    return
                frame, direction = self._mailbox.popleft()
        finally:
            self._running = None

    def interrupt(self) -> None:
        """Drop the data that waits here, and let the processor drop its own."""
        if self._mailbox:
            kept = [item for item in self._mailbox if survives_interruption(item[0])]
            self._mailbox = deque(kept)
        try:
            self.interrupted()
        except Exception:  # the boundary to the processor's own code
            logger.exception("%s failed while it was being interrupted", self.name)

    async def _report(self, error: Exception, frame: Frame) -> None:
        starting = isinstance(frame, StartFrame)
        what = "could not start" if starting else f"failed on {frame.name}"
        await self.push_error(f"{self.name} {what}: {describe(error)}", fatal=starting, exception=error)


def survives_interruption(frame: Frame) -> bool:
    """Whether a waiting frame stays in place when the user cuts in."""
    return not isinstance(frame, DataFrame) or isinstance(frame, InputFrame)


_PASSING = (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    SystemFrame,
    InputFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
)


def stands_in_line(frame: Frame) -> bool:
    """Whether a frame must not overtake a reply that is being made: all but what the caller does and
    frames about who speaks."""
    return not isinstance(frame, _PASSING)
