"""Measures turn and stop latency of a call as `MetricsFrame`s, and warns about slow processors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.eventloop.clock import Clock
from runner.eventloop.waiting import of_loop
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    InterruptionFrame,
    MetricsFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.params import Observer
from runner.processors.base import FrameProcessor
from runner.services.llm import LLMService
from runner.services.tts import TTSService
from runner.sessions.stats import LAG_BOUNDS_S, Histogram, current_call

logger = logging.getLogger(__name__)

PARTS = ("pause", "ears", "model", "voice", "line")
"""Parts from the end of the user's speech to the bot's first audio: the VAD's wait for more speech, speech
recognition, the LLM's first token, the TTS's first audio, transport to the listener."""


class TurnParts:
    """Splits a turn's latency into its parts; the time of a part that was not seen counts to the next."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def begin(self) -> None:
        """Start a new measurement at the end of a turn."""
        self._ends.clear()

    def end(self, part: str, at: float) -> None:
        """Record that the part ended at `at` (s); only the first time counts."""
        self._ends.setdefault(part, at)

    def forget_reply(self) -> None:
        """Drop the reply's parts, because another reply follows."""
        self._ends.pop("model", None)
        self._ends.pop("voice", None)

    def cut(self, since: float, until: float) -> dict[str, float]:
        """The length (s) of each part that was seen; they add up to the total."""
        self._ends[PARTS[-1]] = until
        lengths: dict[str, float] = {}
        for part in PARTS:
            if part in self._ends:
                at = min(max(self._ends[part], since), until)
                lengths[part], since = at - since, at
        return lengths


class LatencyWatch(Observer):
    """Measures latencies as the caller hears them.

    `turn_latency`: from the end of the user's speech to the bot's first audio at the listener.
    `stop_latency`: from the start of the user's speech over the bot to the bot's last audio.
    """

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        InterruptionFrame,
        MetricsFrame,
        TranscriptionFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, push: Callable[[Frame], Awaitable[None]], clock: Clock) -> None:
        self._push = push
        self._clock = clock
        self._parts = TurnParts()
        self._figures = current_call()
        self._user_started: float | None = None
        self._user_stopped: float | None = None
        self._silenced: float | None = None

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case UserStartedSpeakingFrame(at=at):
                self._user_started, self._user_stopped = at, None
                await self._report_stop()
            case UserStoppedSpeakingFrame(at=at):
                if at != self._user_stopped:
                    self._parts.begin()
                    self._parts.end("pause", self._clock())
                self._user_started, self._user_stopped, self._silenced = None, at, None
            case InterruptionFrame():
                self._parts.forget_reply()
            case TranscriptionFrame() if direction is FrameDirection.DOWNSTREAM:
                self._parts.end("ears", self._clock())
            case MetricsFrame(metric="ttfb", processor=source.name) if isinstance(source, LLMService):
                self._parts.end("model", self._clock())
            case MetricsFrame(metric="ttfb", processor=source.name) if isinstance(source, TTSService):
                self._parts.end("voice", self._clock())
            case BotStartedSpeakingFrame(at=at) if self._user_stopped is not None:
                since, self._user_stopped = self._user_stopped, None
                self._figures.turn(at - since, self._parts.cut(since, at))
                await self._report("turn_latency", at - since)
            case BotStoppedSpeakingFrame(at=at, interrupted=True):
                self._silenced = at
                await self._report_stop()

    async def _report_stop(self) -> None:
        """Report once both ends are known; the bot may stop before the user's frame has passed the queue."""
        if self._user_started is not None and self._silenced is not None:
            seconds, self._user_started, self._silenced = self._silenced - self._user_started, None, None
            self._figures.stop(seconds)
            await self._report("stop_latency", seconds)

    async def _report(self, name: str, seconds: float) -> None:
        logger.debug("%s: %.0f ms", name, seconds * 1000)
        await self._push(MetricsFrame(name, "PipelineTask", seconds * 1000))


SLOW_S = 0.020
"""One ptime: a processor that takes longer delays audio."""


class SlowWatch:
    """Checks the processors of all pipelines of an event loop every `SLOW_S`.

    Attributes:
        lag: how late (s) each check ran, that is, how long the loop was busy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lag = Histogram(LAG_BOUNDS_S)
        self._loop = loop
        self._rows: list[Sequence[FrameProcessor]] = []
        self._seen: dict[FrameProcessor, Coroutine[Any, Any, None]] = {}
        self._warned: weakref.WeakSet[FrameProcessor] = weakref.WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    @classmethod
    def shared(cls, loop: asyncio.AbstractEventLoop) -> SlowWatch:
        """The `SlowWatch` of this loop."""
        return of_loop(loop, cls, lambda: cls(loop))

    @contextlib.contextmanager
    def watching(self, row: Sequence[FrameProcessor]) -> Iterator[None]:
        """Watch these processors while the block runs."""
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
                    if before.get(processor) is call and processor not in self._warned:
                        self._report(processor, call)

    def _report(self, processor: FrameProcessor, call: Coroutine[Any, Any, None]) -> None:
        where = waiting_at(call)
        if where is None:
            return
        self._warned.add(processor)
        logger.warning(
            "%s delays the frames behind it: its process_frame takes over %d ms at %s:%d. "
            "Move long work into a task: self.create_task(…)",
            processor.name,
            SLOW_S * 1000,
            *where,
        )


def waiting_at(call: Coroutine[Any, Any, None]) -> tuple[str, int] | None:
    """File and line at which a suspended `process_frame` waits; None if it waits for the processor it pushed
    a frame to."""
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
