"""`Pipeline` and `ParallelPipeline`: processors in a row, and in branches; and what such a row lacks."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

from runner.botcode.location import describe
from runner.errors import UsageError
from runner.frames import ControlFrame, EndFrame, Frame, FrameDirection, StartFrame
from runner.processors.aggregators import LLMUserAggregator
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor
from runner.services.llm import LLMService
from runner.services.stt import STTService
from runner.services.tts import TTSService
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport

StandIn = Callable[[FrameProcessor], Sequence[FrameProcessor]]
stand_ins: ContextVar[StandIn | None] = ContextVar("botrun stand-ins", default=None)
"""Replaces processors of pipelines built in this context, such as services in tests (`runner.testing`)."""


class Pipeline(FrameProcessor):
    """Processors in a row; frames go downstream from first to last, and upstream from last to first."""

    def __init__(self, processors: Sequence[FrameProcessor], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.processors = list(processors)
        for processor in self.processors:
            if not isinstance(processor, FrameProcessor):
                raise UsageError(
                    f"a Pipeline takes FrameProcessors, not {processor!r}: "
                    "check for missing parentheses, as in transport.input()"
                )
        if (stand_in := stand_ins.get()) is not None:
            self.processors = [other for processor in self.processors for other in stand_in(processor)]

    def flat(self) -> Iterator[FrameProcessor]:
        """The processors, with inner pipelines flattened."""
        for processor in self.processors:
            if isinstance(processor, Pipeline):
                yield from processor.flat()
            else:
                yield processor


def chain(processors: Iterable[FrameProcessor]) -> list[FrameProcessor]:
    """Link processors in a row; each instance may occur only once."""
    row = list(processors)
    seen: set[int] = set()
    for processor in row:
        if id(processor) in seen:
            raise UsageError(f"{processor.name} appears twice in the pipeline: create a second instance")
        seen.add(id(processor))
    for one, following in pairwise(row):
        one.link(following)
    return row


def everything(processors: Iterable[FrameProcessor]) -> Iterator[FrameProcessor]:
    """The processors and, recursively, those inside them."""
    for processor in processors:
        yield processor
        yield from everything(processor.children())


def need_frame(given: object) -> None:
    """Raise `UsageError` unless `given` is a frame."""
    if isinstance(given, Frame):
        return
    shown, hint = repr(given), ""
    if isinstance(given, type):
        shown, hint = f"the class {given.__name__}", f": write {given.__name__}(…)"
    elif isinstance(given, str):
        hint = f": write TTSSpeakFrame({given!r})"
    raise UsageError(f"queue_frame takes frames, not {shown}{hint}")


NAME = "PipelineTask"


class Source(FrameProcessor):
    """Placed before the first processor: passes upstream frames to the task (`on_upstream`)."""

    def __init__(self, on_upstream: Callable[[Frame], Awaitable[None]]) -> None:
        super().__init__(name=NAME)
        self._on_upstream = on_upstream

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is UPSTREAM:
            await self._on_upstream(frame)
        else:
            await self.push_frame(frame, direction)


class Sink(FrameProcessor):
    """Placed after the last processor: an `EndFrame` that arrives here has passed all processors and ends the
    run, with its reason."""

    is_end = True

    def __init__(self, finish: Callable[[str], None]) -> None:
        super().__init__(name=NAME)
        self._finish = finish

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is UPSTREAM:
            await self.push_frame(frame, direction)
        elif isinstance(frame, EndFrame):
            self._finish(frame.reason or "ended")


REMEMBERED = 64
"""Number of recent frames to remember, so that a frame that passes several branches leaves once."""


class _Edge(FrameProcessor):
    """The start or end of a branch: passes frames that leave the branch to the parallel pipeline."""

    def __init__(self, owner: ParallelPipeline, outward: FrameDirection) -> None:
        super().__init__(name=f"{owner.name}.edge")
        self._owner = owner
        self._outward = outward

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is self._outward:
            await self._owner.leave(frame, direction)
        else:
            await self.push_frame(frame, direction)


class ParallelPipeline(FrameProcessor):
    """Sends every frame through each branch. A frame that entered from outside leaves once, however many
    branches pass it; a control frame leaves when all branches have passed it."""

    def __init__(self, *branches: Sequence[FrameProcessor], name: str | None = None) -> None:
        super().__init__(name=name)
        if not branches:
            raise UsageError("a ParallelPipeline needs at least one branch: ParallelPipeline([a], [b, c])")
        self._heads = [_Edge(self, UPSTREAM) for _ in branches]
        self._tails = [_Edge(self, DOWNSTREAM) for _ in branches]
        self._rows = [
            chain([head, *Pipeline(branch).flat(), tail])
            for head, branch, tail in zip(self._heads, branches, self._tails, strict=True)
        ]
        self._waiting: list[tuple[Frame, int]] = []
        self._passed: deque[Frame] = deque(maxlen=REMEMBERED)

    def children(self) -> Iterator[FrameProcessor]:
        for row in self._rows:
            yield from row

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, ControlFrame | StartFrame):
            self._waiting.append((frame, len(self._rows)))
        for edge in self._heads if direction is DOWNSTREAM else self._tails:
            await edge.receive(frame, direction)

    async def leave(self, frame: Frame, direction: FrameDirection) -> None:
        """Handle a frame that leaves a branch."""
        for index, (waiting, branches) in enumerate(self._waiting):
            if waiting is frame:
                if branches > 1:
                    self._waiting[index] = (frame, branches - 1)
                    return
                del self._waiting[index]
                break
        else:
            if any(passed is frame for passed in self._passed):
                return
            self._passed.append(frame)
        await self.push_frame(frame, direction)


# ------------------------------------------------------------------ what a pipeline lacks


def missing_parts(processors: Iterable[FrameProcessor]) -> Iterator[str]:
    """Sentences that say what this pipeline cannot do, and how to fix it."""
    row = list(processors)
    source = next((p for p in row if isinstance(p, BaseInputTransport)), None)
    sink = next((p for p in row if isinstance(p, BaseOutputTransport)), None)
    if source is None:
        yield "the bot hears nothing: put transport.input() at the beginning of its pipeline"
    if sink is None:
        yield "the caller cannot hear the bot: put transport.output() near the end of its pipeline"
    if source is not None:
        yield from _deaf(source, [p for p in row if isinstance(p, STTService)])
    if sink is not None and not sink.params.audio_out_enabled and any(isinstance(p, TTSService) for p in row):
        yield "the caller cannot hear the bot: give its TransportParams audio_out_enabled=True"
    yield from _faulty_tools(row)


def _faulty_tools(row: Sequence[FrameProcessor]) -> list[str]:
    """Tools that cannot be described to the model, which would otherwise fail at the first request."""
    model = next((p for p in row if isinstance(p, LLMService)), None)
    if model is None:
        return []
    brought = [p.context.tools for p in row if isinstance(p, LLMUserAggregator)]
    each = [_fault(model, [tool]) for tools in brought for tool in tools]
    together = [] if any(each) else [_fault(model, tools) for tools in brought]
    return [fault for fault in (*each, *together) if fault]


def _fault(model: LLMService, tools: Sequence[Any]) -> str:
    try:
        model.toolbox.definitions(tools)
    except Exception as error:  # the boundary to the tools' signatures
        return describe(error)
    return ""


def _deaf(source: BaseInputTransport, recognisers: Sequence[STTService]) -> Iterator[str]:
    if recognisers and not source.params.audio_in_enabled:
        yield "the bot hears nothing: give its TransportParams audio_in_enabled=True"
    elif source.params.vad_analyzer is None and any(map(_needs_turns, recognisers)):
        yield (
            "the bot never answers, because nothing detects when the caller stops speaking: "
            "give its TransportParams vad_analyzer=SileroVADAnalyzer()"
        )


def _needs_turns(recogniser: STTService) -> bool:
    """Whether it needs the VAD's end of speech to finish a transcript."""
    return type(recogniser).speech_ended is not STTService.speech_ended
