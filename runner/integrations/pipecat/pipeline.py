"""Joins a starting pipeline of Pipecat's to its call: memory, greeting, figures, app messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from pipecat.frames.frames import (
    Frame,
    InputTransportMessageFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMMessagesAppendFrame,
    LLMMessagesUpdateFrame,
    LLMRunFrame,
    OutputTransportMessageUrgentFrame,
    TTSSpeakFrame,
)
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport

from runner.integrations.pipecat.call import PipecatCall, current
from runner.integrations.pipecat.memory import ContextMemory
from runner.integrations.pipecat.observers import CallObserver, Silence
from runner.integrations.pipecat.transports.params import PHONES
from runner.processors.handover_state import is_greeting
from runner.rtvi import messages
from runner.transports.webrtc.stats import STATS_EVERY_SECS

_SPEAKING = (LLMContextFrame, LLMMessagesAppendFrame, LLMRunFrame, TTSSpeakFrame)


async def join_call(worker: Any) -> None:
    """A pipeline starts: join it to the call that it runs in, if it runs in one."""
    call = current()
    if call is None:
        return
    call.workers.append(worker)
    processors = list(_processors(worker.pipeline))
    _join_memories(call, processors)
    if any(isinstance(p, BaseInputTransport | BaseOutputTransport) for p in processors):
        await _MainPipeline(call, worker).join(processors)


def _processors(processor: Any) -> Iterator[Any]:
    yield processor
    for inner in getattr(processor, "processors", None) or ():
        yield from _processors(inner)


def _join_memories(call: PipecatCall, processors: list[Any]) -> None:
    known = [memory.context for memory in call.memories]
    for processor in processors:
        context = getattr(processor, "context", None)
        if not hasattr(context, "set_messages") or any(context is one for one in known):
            continue
        known.append(context)
        memory = ContextMemory(context)
        call.memories.append(memory)
        call.port.conversation.join(memory)


class _MainPipeline:
    """The pipeline that the caller is connected to. Also the conversation's `RunningPipeline`."""

    def __init__(self, call: PipecatCall, worker: Any) -> None:
        self._call = call
        self._worker = worker
        self._conversation = call.port.conversation
        self._running = False
        self._processors: list[Any] = []
        self._queue_frame = worker.queue_frame
        self._silence = Silence(self._conversation)
        self._rtvi = next((p for p in _processors(worker.pipeline) if isinstance(p, RTVIProcessor)), None)

    async def join(self, processors: list[Any]) -> None:
        """Called before the first frame."""
        call, worker, self._processors = self._call, self._worker, processors
        call.figures.has_pipeline = True
        self._conversation.attach(self)
        if self._rtvi is not None and (major := self._conversation.kept_major) is not None:
            # The client has announced itself to older code, and does not do so again.
            self._rtvi._client_version = [major, 0, 0]
        self._drop_queued_greeting()
        worker.queue_frame = self._queue_unless_greeting
        # A phone's wire carries no messages; the terminal of this machine's phone is attached beside it.
        to_app = call.port.app.send if call.kind in PHONES else None
        worker.add_observer(CallObserver(call, self._silence, self.send_to_client, to_app))
        worker.add_event_handler("on_pipeline_started", self._started)
        worker.add_event_handler("on_pipeline_finished", self._finished)
        if call.kind in PHONES:
            call.port.app.open(self._from_app)
        elif call.kind == "daily":
            from runner.integrations.pipecat.transports.daily import follow_room

            follow_room(call, processors)

    async def send_to_client(self, message: Any) -> None:
        """Send a message of RTVI to the client."""
        await self._queue_frame(OutputTransportMessageUrgentFrame(message=message))

    # ------------------------------------------------------------ what the conversation asks

    def busy(self) -> str:
        return self._silence.busy()

    def bot_speaks(self) -> bool:
        return self._silence.bot_speaks

    def interrupt(self) -> object:
        return self._call.start_task(self._queue_frame(InterruptionFrame()), "interrupt")

    def answer(self) -> None:
        self._call.start_task(self._queue_frame(LLMRunFrame()), "answer")

    def client_major(self) -> int | None:
        return None if self._rtvi is None else self._rtvi.client_version[0] or None

    # ------------------------------------------------------------ greetings

    def _drop_queued_greeting(self) -> None:
        queue: asyncio.Queue[Frame] | None = getattr(self._worker, "_push_queue", None)
        if queue is None or not self._conversation.resumed:
            return
        frames = [queue.get_nowait() for _ in range(queue.qsize())]
        for frame in frames:
            if not self._is_second_greeting(frame):
                queue.put_nowait(frame)

    async def _queue_unless_greeting(self, frame: Frame, *args: Any, **kwargs: Any) -> None:
        if not self._is_second_greeting(frame):
            await self._queue_frame(frame, *args, **kwargs)

    def _is_second_greeting(self, frame: Frame) -> bool:
        if not self._conversation.resumed or (self._running and not is_greeting()):
            return False
        if isinstance(frame, LLMMessagesUpdateFrame):
            # Where a bot begins with another prompt (Flows' first node): the history stays behind it.
            for memory in self._call.memories[:1]:
                memory.replace_own(frame.messages)
            return True
        if not isinstance(frame, _SPEAKING):
            return False
        for memory in self._call.memories:
            memory.forget_greeting()
        return True

    # ------------------------------------------------------------ the run

    async def _started(self, worker: Any, frame: Any) -> None:
        self._running = True
        self._call.events.pipeline("started", [p.name for p in self._processors])
        if self._conversation.goes_on and self._rtvi is not None:
            await self.send_to_client(messages.server_message({"type": "code-updated"}))
        self._conversation.give_owed_answer()
        if self._call.connection is not None:
            self._call.start_task(self._report_sound(), "sound statistics")

    async def _finished(self, worker: Any, frame: Any) -> None:
        self._call.events.pipeline("ended", [])

    async def _report_sound(self) -> None:
        """How the sound fares, for the page."""
        while True:
            await asyncio.sleep(STATS_EVERY_SECS)
            stats = self._call.connection.read_stats()
            if stats is not None:
                data = {"type": "session-stats", **stats.as_message()}
                await self.send_to_client(messages.server_message(data))

    def _from_app(self, message: Any) -> None:
        frame = InputTransportMessageFrame(message=message)
        self._call.start_task(self._queue_frame(frame), "app message")
