"""`ParallelPipeline`: the same frames down several branches, joined again behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from runner.errors import UsageError
from runner.frames import ControlFrame, Frame, FrameDirection, StartFrame
from runner.pipeline.pipeline import Pipeline, chain
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor

REMEMBERED = 64
"""How many passing frames are remembered, to let each out once though it comes through each branch."""


class _Edge(FrameProcessor):
    """The beginning or end of a branch: hands what leaves it to the parallel pipeline."""

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
    """Every frame goes down each branch. What leaves a branch goes on from here: a frame that came in
    from outside once, however many branches let it through; control frames when all have."""

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
        """A branch lets a frame out."""
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
