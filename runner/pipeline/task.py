"""`PipelineTask`: one run of a pipeline, from its `StartFrame` to its cleanup."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import Context
from typing import Any

from runner.botcode.location import Seldom, describe
from runner.errors import BotrunError, StartError
from runner.eventloop.waiting import to_the_end
from runner.frames import (
    CancelFrame,
    CancelTaskFrame,
    EndFrame,
    EndTaskFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    InterruptionFrame,
    InterruptionTaskFrame,
    LLMRunFrame,
    StartFrame,
)
from runner.pipeline.activity import IDLE, IdleWatch, Prompting, SilenceWatch
from runner.pipeline.call_events import EventObserver
from runner.pipeline.latency import LatencyWatch, SlowWatch
from runner.pipeline.params import Observer, PipelineParams, watch_with
from runner.pipeline.pipeline import Pipeline, Sink, Source, chain, everything, missing_parts, need_frame
from runner.pipeline.tasks import Tasks, finish_all
from runner.processors.aggregators import LLMAssistantAggregator, LLMUserAggregator
from runner.processors.base import UPSTREAM, FrameProcessor, ProcessorSetup
from runner.processors.floor import Floor
from runner.processors.floor_state import Replies
from runner.processors.handover_state import is_second_greeting
from runner.rtvi import RTVI, RTVIObserverParams
from runner.sessions.events import PipelineChanged, current_events
from runner.sessions.stats import current_call
from runner.transports.base import Events, HandlerT
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport
from runner.transports.session_port import current_port
from runner.turns.interruption import strategy_of

logger = logging.getLogger(__name__)

EVENTS = ("on_pipeline_started", "on_pipeline_finished", "on_pipeline_error", "on_idle_timeout")

SETUP_TIMEOUT_S = 20.0
"""Time (s) after which a processor that has not started fails the call."""

INTERRUPTION_TIMEOUT_S = 0.5
"""Maximum time (s) that a typed turn waits for its interruption to pass the pipeline."""


class PipelineTask:
    """One run of a pipeline.

    Events, each `handler(task, …)`: `on_pipeline_started(frame)`, `on_pipeline_error(frame)`,
    `on_idle_timeout()` after `idle_timeout_secs` without speech, which ends the call, and
    `on_pipeline_finished(frame)`, whose frame has the reason.

    Attributes:
        end_reason: why the run ended; empty until then.
        rtvi: the connection to the client's application; None if the transport carries no messages.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        params: PipelineParams | None = None,
        observers: Sequence[Observer] = (),
        idle_timeout_secs: float | None = None,
        enable_rtvi: bool = True,
        rtvi_observer_params: RTVIObserverParams | None = None,
    ) -> None:
        self.params = params or PipelineParams()
        self.end_reason = ""
        self._pipeline = pipeline
        self._observers = list(observers)
        self._idle_timeout_s = idle_timeout_secs
        self._replies = Replies()
        self._tasks = Tasks(current_call().session_id, self._task_failed)
        self._queue: asyncio.Queue[Frame] = asyncio.Queue()
        self._over = asyncio.Event()
        self._session_id = current_call().session_id
        self._events = current_events()
        self._conversation = current_port().conversation
        self._begun = self._starting = False
        self._start_failure: ErrorFrame | None = None
        self._failures = Seldom()
        self.events = Events(self, *EVENTS)
        self._source = Source(self.on_upstream)
        self._processors = chain([self._source, *pipeline.flat(), Sink(self.finish)])
        self.rtvi = self._make_rtvi(rtvi_observer_params) if enable_rtvi else None
        for processor in everything(self._processors):
            if isinstance(processor, LLMUserAggregator | LLMAssistantAggregator):
                self._conversation.join(processor.context)

    # ------------------------------------------------------------ what a bot uses

    async def queue_frame(self, frame: Frame) -> None:
        """Send a frame down the pipeline from its beginning, behind those queued before."""
        need_frame(frame)
        if not is_second_greeting(self._conversation, frame, running=self._begun):
            self._queue.put_nowait(frame)

    async def queue_frames(self, frames: Iterable[Frame]) -> None:
        """Send frames down the pipeline, in this order."""
        for frame in frames:
            await self.queue_frame(frame)

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(task, …)` to run it on an event."""
        return self.events.handler(name)

    async def stop_when_done(self) -> None:
        """End the call once everything said before has been played."""
        await self.queue_frame(EndFrame())

    async def cancel(self, reason: str = "cancelled") -> None:
        """End the call now."""
        self.request_cancel(reason)

    def request_cancel(self, reason: str = "cancelled") -> None:
        """`cancel` for synchronous code."""
        self.finish(reason)

    def has_finished(self) -> bool:
        """Whether the run is over or about to be."""
        return self._over.is_set()

    # ------------------------------------------------------------ the run

    async def run(self) -> None:
        """Run from setup to cleanup; return when the call is over.

        Raises:
            StartError: a transport or processor could not start.
        """
        loop = asyncio.get_running_loop()
        self._floor = self._make_floor(loop)
        self._add_own_observers(loop)
        try:
            await self._set_up(self._make_setup(loop))
            row = list(everything(self._processors))
            await self._advise(row)
            counting = current_call().counting(processor.totals for processor in row)
            with SlowWatch.shared(loop).watching(row), counting:
                self.create_task(self._drive(), "PipelineTask.drive")
                await self._over.wait()
        except BotrunError as error:
            self.finish(str(error))
            raise
        finally:
            self.finish("cancelled")
            if self.end_reason == IDLE:
                self.events.emit("on_idle_timeout")
            if self._begun:
                self._changed("ended")
                self.events.emit("on_pipeline_finished", EndFrame(reason=self.end_reason))
            # A run that ends by itself may be cancelled, too: its tasks must not outlive it.
            await to_the_end(self._clean_up())
        if self._start_failure is not None:
            raise StartError(self._start_failure.error) from self._start_failure.exception

    def finish(self, reason: str) -> None:
        """End the run; the first reason is kept."""
        if not self._over.is_set():
            self.end_reason = reason
            self._over.set()

    def interrupt(self) -> asyncio.Task[None]:
        """Silence the bot now; the returned task pushes the `InterruptionFrame`.

        All processors are interrupted directly, because a slow one would delay a frame on the chain. The
        `InterruptionFrame` follows for processors that handle it.
        """
        self._replies.interrupt()
        for processor in everything(self._processors):
            processor.interrupt()
        self._floor.interrupted()
        return self.create_task(self._source.push_frame(InterruptionFrame()), "PipelineTask.interruption")

    async def on_upstream(self, frame: Frame) -> None:
        """Handle a frame pushed upstream past the first processor."""
        match frame:
            case ErrorFrame():
                if self._starting and frame.fatal:
                    self._start_failure = frame  # `run` raises it, and the session reports it
                else:
                    self._log(frame)
                self.events.emit("on_pipeline_error", frame)
                if frame.fatal:
                    self.finish(frame.error)
            case EndTaskFrame():
                await self.queue_frame(EndFrame(reason=frame.reason))
            case CancelTaskFrame():
                self.finish(frame.reason or "cancelled by the bot")
            case InterruptionTaskFrame():
                self.interrupt()

    def _changed(self, state: str, processors: Sequence[str] = ()) -> None:
        now = asyncio.get_running_loop().time()
        self._events.emit(PipelineChanged(at=now, state=state, processors=list(processors)))

    def _log(self, failure: ErrorFrame) -> None:
        now = asyncio.get_running_loop().time()
        sentence = self._failures.pass_on(failure.error, failure.exception, now, failure.processor)
        if sentence is not None:
            level = logging.ERROR if failure.fatal else logging.WARNING
            logger.log(level, "%s", sentence, exc_info=failure.exception)

    def create_task(
        self, work: Coroutine[Any, Any, None], name: str, context: Context | None = None
    ) -> asyncio.Task[None]:
        """Start a task that ends with the run; its failure is reported like a processor's."""
        return self._tasks.create(work, name, context)

    async def _task_failed(self, failure: ErrorFrame) -> None:
        # Nothing is upstream of the source, but observers see what it pushes.
        await self._source.push_frame(failure, UPSTREAM)
        await self.on_upstream(failure)

    async def _advise(self, row: Sequence[FrameProcessor]) -> None:
        """Report what the pipeline lacks, in the log and to the client. A pipeline without a session belongs
        to a test, which leaves parts out on purpose."""
        if not self._session_id:
            return
        is_mute = not any(isinstance(p, BaseOutputTransport) for p in row)
        for sentence in missing_parts(row):
            logger.warning("session %s: %s", self._session_id, sentence)
            if is_mute:  # messages to the client would leave by the output, too
                current_port().report(sentence)
            await self._source.push_frame(ErrorFrame(error=sentence, processor="the pipeline"), UPSTREAM)
        if self.rtvi is not None and not any(isinstance(p, BaseInputTransport) for p in row):
            await self.rtvi.open_unasked()

    async def _drive(self) -> None:
        start = StartFrame(
            audio_in_sample_rate=self.params.audio_in_sample_rate or 0,
            audio_out_sample_rate=self.params.audio_out_sample_rate or 0,
            allow_interruptions=self.params.allow_interruptions,
        )
        self._begun = self._starting = True
        await self._source.push_frame(start)
        self._starting = False
        if self._start_failure is not None:
            return
        self._changed("started", [processor.name for processor in everything(self._processors)])
        self.events.emit("on_pipeline_started", start)
        if self.rtvi is not None and self._conversation.goes_on:
            await self.rtvi.send_server_message({"type": "code-updated"})
        self._conversation.give_owed_answer()
        while True:
            frame = await self._queue.get()
            if isinstance(frame, InterruptionTaskFrame):
                # The context must contain what was heard before the next frame is handled.
                await asyncio.wait([self.interrupt()], timeout=INTERRUPTION_TIMEOUT_S)
            elif isinstance(frame, EndTaskFrame | CancelTaskFrame):
                await self.on_upstream(frame)
            else:
                await self._source.receive(frame, FrameDirection.DOWNSTREAM)

    # ------------------------------------------------------------ setup and cleanup

    def _make_setup(self, loop: asyncio.AbstractEventLoop) -> ProcessorSetup:
        return ProcessorSetup(
            clock=loop.time,
            replies=self._replies,
            create_task=self.create_task,
            interrupt=self.interrupt,
            floor=self._floor,
            conversation=self._conversation,
            watchers={},
        )

    async def _set_up(self, setup: ProcessorSetup) -> None:
        for observer in self._observers:
            watch_with(observer, setup.watchers)
        waiting = dict.fromkeys(everything(self._processors))

        async def set_up(processor: FrameProcessor) -> None:
            try:
                await processor.setup(setup)
            except BotrunError:
                raise
            except Exception as error:  # the boundary to the processor's own code
                raise StartError(f"{processor.name} could not start: {describe(error)}") from error
            del waiting[processor]

        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S), asyncio.TaskGroup() as group:
                for processor in tuple(waiting):
                    group.create_task(set_up(processor))
        except TimeoutError:
            names = ", ".join(processor.name for processor in waiting)
            raise StartError(f"{names} did not start within {SETUP_TIMEOUT_S:.0f} s") from None
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__

    def _add_own_observers(self, loop: asyncio.AbstractEventLoop) -> None:
        """Add the observers for latency, idle calls, reloads and RTVI."""
        self._observers.append(self._floor)
        if self._events.wanted:
            self._observers.append(EventObserver(self._events, loop.time))
        if self.params.idle_prompt is not None:
            prompting = Prompting(self.params.idle_prompt, loop.time, self.queue_frame)
            self._observers.append(prompting)
            self.create_task(prompting.run(), "PipelineTask.idle_prompt")
        self._observers.append(LatencyWatch(self._source.push_frame, loop.time))
        silence = SilenceWatch(self._conversation, loop.time, self._floor.bot)
        self._observers.append(silence)
        self._conversation.attach(_ForMoving(self, silence))
        if self._idle_timeout_s:
            watch = IdleWatch(self._idle_timeout_s, loop.time, self.finish)
            self._observers.append(watch)
            self.create_task(watch.run(), "PipelineTask.idle")
        if self.rtvi is not None:
            self._observers.append(self.rtvi)

    def _make_floor(self, loop: asyncio.AbstractEventLoop) -> Floor:
        strategy = self.params.interruption_strategy if self.params.allow_interruptions else "none"
        return Floor(
            loop.time,
            self._replies,
            self.create_task,
            self.interrupt,
            strategy=strategy_of(strategy),
            mutes=self.params.mute,
            push=self._source.push_frame,
        )

    def _make_rtvi(self, params: RTVIObserverParams | None) -> RTVI | None:
        """RTVI; None if the transport carries no messages."""
        output = next((p for p in self._processors if getattr(p, "carries_messages", False)), None)
        if output is None:
            return None
        send = output.send_message  # type: ignore[attr-defined]
        major = self._conversation.kept_major
        rtvi = RTVI(send, self.queue_frame, params=params, replies=self._replies, client_major=major)
        self._replies.on_release(lambda: self.create_task(rtvi.send_due(), "RTVI.send_due"))
        return rtvi

    async def _clean_up(self) -> None:
        await finish_all([asyncio.ensure_future(self._source.push_frame(CancelFrame(self.end_reason)))])
        await self._tasks.end()
        await finish_all([asyncio.ensure_future(p.cleanup()) for p in everything(self._processors)])
        if self.rtvi is not None:
            await self.rtvi.aclose()
        await self.events.aclose()


class _ForMoving:
    """A task's `RunningPipeline`, for the call's conversation."""

    def __init__(self, task: PipelineTask, silence: SilenceWatch) -> None:
        self._task = task
        self.busy, self.bot_speaks = silence.busy, silence.bot_speaks
        self.interrupt = task.interrupt

    def answer(self) -> None:
        self._task._queue.put_nowait(LLMRunFrame())

    def client_major(self) -> int | None:
        return None if self._task.rtvi is None else self._task.rtvi.client_major
