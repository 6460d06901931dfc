"""Names the processor that holds up the frames behind it, and the line at which it waits.

A processor's `process_frame` runs inside the push of the processor before it, so one that waits for
the network or sleeps delays all the others. One timer per event loop looks at the calls under way:
finding the same call on two looks means that it takes longer than `SLOW_S`. It costs the frames nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.processors.base import FrameProcessor
from runner.sessions.stats import LAG_BOUNDS_S, Histogram

logger = logging.getLogger(__name__)

SLOW_S = 0.020
"""One ptime: a processor that takes longer delays sound."""


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SlowWatch] = weakref.WeakKeyDictionary()


class SlowWatch:
    """Looks at the processors of all pipelines of an event loop, every `SLOW_S`.

    Attributes:
        lag: how late (s) the loop came to look: what it was busy with.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lag = Histogram(LAG_BOUNDS_S)
        self._loop = loop
        self._rows: list[Sequence[FrameProcessor]] = []
        self._seen: dict[FrameProcessor, Coroutine[Any, Any, None]] = {}
        self._told: weakref.WeakSet[FrameProcessor] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @classmethod
    def shared(cls, loop: asyncio.AbstractEventLoop) -> SlowWatch:
        """The one of this loop."""
        watch = _shared.get(loop)
        if watch is None:
            watch = _shared[loop] = cls(loop)
        return watch

    @contextlib.contextmanager
    def watching(self, row: Sequence[FrameProcessor]) -> Iterator[None]:
        """Look at these processors while the block runs."""
        self._rows.append(row)
        if self._timer is None:
            self._look_again()
        try:
            yield
        finally:
            self._rows = [other for other in self._rows if other is not row]
            if not self._rows and self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._seen.clear()

    def _look_again(self) -> None:
        self._due = self._loop.time() + SLOW_S
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self.lag.observe(max(0.0, self._loop.time() - self._due))
        self._look_again()
        before, self._seen = self._seen, {}
        for row in self._rows:
            for processor in row:
                call = processor.running
                if call is not None:
                    self._seen[processor] = call
                    if before.get(processor) is call and processor not in self._told:
                        self._tell(processor, call)

    def _tell(self, processor: FrameProcessor, call: Coroutine[Any, Any, None]) -> None:
        where = waiting_at(call)
        if where is None:
            return
        self._told.add(processor)
        logger.warning(
            "%s holds up the sound behind it: its process_frame takes over %d ms at %s:%d. "
            "Start a task for what takes long: self.create_task(…)",
            processor.name,
            SLOW_S * 1000,
            *where,
        )


def waiting_at(call: Coroutine[Any, Any, None]) -> tuple[str, int] | None:
    """File and line at which a suspended `process_frame` waits; None if it waits for a processor that
    it pushed a frame to."""
    own_file = getattr(getattr(call, "cr_code", None), "co_filename", None)
    where: tuple[str, int] | None = None
    inner: Any = call
    while inner is not None:
        code, frame = getattr(inner, "cr_code", None), getattr(inner, "cr_frame", None)
        if code is FrameProcessor.receive.__code__:
            return None
        if frame is not None and code is not None and code.co_filename == own_file:
            where = (_short(code.co_filename), frame.f_lineno)
        inner = getattr(inner, "cr_await", None)
    return where


def _short(filename: str) -> str:
    path = Path(filename)
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
