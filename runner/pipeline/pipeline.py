"""`Pipeline`: processors in a row. A pipeline inside a pipeline is the same row, written in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import pairwise

from runner.errors import UsageError
from runner.frames import Frame
from runner.processors.base import FrameProcessor

StandIn = Callable[[FrameProcessor], Sequence[FrameProcessor]]
stand_ins: ContextVar[StandIn | None] = ContextVar("botrun stand-ins", default=None)
"""Replaces processors of pipelines that are built in this context. `runner.testing` runs a bot without its
services so."""


class Pipeline(FrameProcessor):
    """Processors in a row; frames go down it from the first to the last, and up the other way."""

    def __init__(self, processors: Sequence[FrameProcessor], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.processors = list(processors)
        for processor in self.processors:
            if not isinstance(processor, FrameProcessor):
                raise UsageError(
                    f"a Pipeline is made of FrameProcessors, and {processor!r} is none: "
                    "did you forget the parentheses, or to call transport.input()?"
                )
        if (stand_in := stand_ins.get()) is not None:
            self.processors = [other for processor in self.processors for other in stand_in(processor)]

    def flat(self) -> Iterator[FrameProcessor]:
        """The processors, those of inner pipelines in their place."""
        for processor in self.processors:
            if isinstance(processor, Pipeline):
                yield from processor.flat()
            else:
                yield processor


def chain(processors: Iterable[FrameProcessor]) -> list[FrameProcessor]:
    """Link processors in a row; each may stand in one place only."""
    row = list(processors)
    seen: set[int] = set()
    for processor in row:
        if id(processor) in seen:
            raise UsageError(f"{processor.name} stands twice in the pipeline: make a second instance")
        seen.add(id(processor))
    for one, following in pairwise(row):
        one.link(following)
    return row


def everything(processors: Iterable[FrameProcessor]) -> Iterator[FrameProcessor]:
    """The processors and all that live inside of them."""
    for processor in processors:
        yield processor
        yield from everything(processor.children())


def need_frame(given: object) -> None:
    """Raises `UsageError` unless it is a frame."""
    if isinstance(given, Frame):
        return
    shown, hint = repr(given), ""
    if isinstance(given, type):
        shown, hint = f"the class {given.__name__}", ": are its parentheses missing?"
    elif isinstance(given, str):
        hint = f": TTSSpeakFrame({given!r}) is said"
    raise UsageError(f"queue_frame takes frames, not {shown}{hint}")
