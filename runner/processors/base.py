"""`FrameProcessor`: one node of a pipeline, and the rules by which frames travel.

`await push_frame(frame)` calls the neighbour's `process_frame` directly, without a queue or a task. Two
rules make that safe:

* A processor never runs its own `process_frame` twice at once. While it is busy, frames are queued in its
  mailbox and the running call drains it. `SystemFrame`s do not wait: they are handled concurrently.
* An interruption never cancels a task that carries a frame. It calls `interrupted()` on every processor, and
  processors that own reply tasks or queued audio drop them there.
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
"""Called with a frame when a processor pushes it."""


class CreateTask(Protocol):
    """Starts a named task, in `context` or in a copy of the current one."""

    def __call__(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]: ...


@dataclass(frozen=True, kw_only=True)
class ProcessorSetup:
    """What a pipeline provides to its processors during a call.

    Attributes:
        clock: the call's clock (s, monotonic).
        replies: the call's replies.
        create_task: starts a task that ends with the call; its failure becomes an `ErrorFrame`.
        interrupt: silences the bot now: see `PipelineTask.interrupt`.
        floor: decides whose turn it is.
        conversation: the state that moves with the call when the bot's code changes.
        watchers: the watchers to call for a pushed frame, by exact frame type; none for most types.
    """

    clock: Clock
    replies: Replies
    create_task: CreateTask
    interrupt: Callable[[], object]
    floor: Floor
    watchers: dict[type[Frame], tuple[Watcher, ...]]
    conversation: Conversation = field(default_factory=Conversation)


class FrameProcessor:
    """A node of a pipeline. Override `process_frame`, and push on the frames that you do not consume.

    ```python
    class Shout(FrameProcessor):
        async def process_frame(self, frame, direction):
            if isinstance(frame, LLMTextFrame):
                frame = replace(frame, text=frame.text.upper())
            await self.push_frame(frame, direction)
    ```
    """

    is_end = False
    """Whether this is the end of the pipeline, so that pushed frames go nowhere."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        method = vars(cls).get("process_frame")
        # A decorated method may return a coroutine although it is no coroutine function.
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
        """Called before the `StartFrame`, for all processors concurrently. Call `super()` first."""
        self._processor_setup = setup
        self._watchers = setup.watchers

    async def cleanup(self) -> None:
        """Called once after the call, also after a failure."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Handle one frame. The base class does nothing, so calling `super()` is optional."""

    def totals(self) -> Mapping[str, float]:
        """The processor's counters by name (`runner.sessions.stats.Totals`). Called rarely."""
        return {}

    def interrupted(self) -> None:
        """The user interrupted: cancel what belongs to the reply. Called on every processor."""

    # ------------------------------------------------------------ to use

    @property
    def processor_setup(self) -> ProcessorSetup:
        """What the pipeline provides: clock, replies, tasks. Available from `setup` on."""
        if self._processor_setup is None:
            raise RuntimeError(f"{self.name} is not part of a running pipeline yet")
        return self._processor_setup

    def push_frame(self, frame: Frame, direction: FrameDirection = DOWNSTREAM) -> Coroutine[Any, Any, None]:
        """Push a frame to the neighbour; return when the neighbour has handled or queued it."""
        neighbour = self._next if direction is DOWNSTREAM else self._previous
        # Not async itself: for unwatched frames that saves one coroutine per processor.
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
        """Push a failure upstream, where the pipeline logs it; a fatal one ends the call."""
        await self.push_frame(
            ErrorFrame(error=message, processor=self.name, fatal=fatal, exception=exception), UPSTREAM
        )

    def create_task(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task that ends with the call, in `context` or in a copy of the current one."""
        return self.processor_setup.create_task(work, f"{self.name}.{name}", context)

    # ------------------------------------------------------------ used by the pipeline

    def link(self, following: FrameProcessor) -> None:
        """Make `following` the next processor downstream."""
        self._next = following
        following._previous = self

    def children(self) -> Iterator[FrameProcessor]:
        """The processors inside this one, recursively."""
        return iter(())

    @property
    def running(self) -> Coroutine[Any, Any, None] | None:
        """The running call of `process_frame`; used to find slow processors."""
        return self._running

    async def receive(self, frame: Frame, direction: FrameDirection) -> None:
        """Take a frame from a neighbour: handle it now, or queue it for the running call."""
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
        """Drop the queued data, and let the processor drop its own."""
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
    """Whether an interruption leaves this queued frame in place."""
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
    """Whether a frame must not overtake a reply in preparation: all but the caller's input and frames about
    who speaks."""
    return not isinstance(frame, _PASSING)
