"""Recognisers that stand in for each other: when one fails, the next hears the utterance again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from runner.errors import ServiceError
from runner.frames import (
    ErrorFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor
from runner.services.fallback import Order, check_services
from runner.services.stt import STTService

PATIENCE_S = 5.0
"""A recogniser that says nothing for so long (s) after the user has stopped has failed."""

COOL_DOWN_S = 30.0

LEAD_S = 1.0
"""Sound (s) from before an utterance that a recogniser is given with it."""

_OURS = (StartFrame, InputAudioRawFrame, UserStartedSpeakingFrame, UserStoppedSpeakingFrame)
"""What comes in goes on from here, whatever the recogniser does with it."""


class _Outlet(FrameProcessor):
    """Before or behind one recogniser: what it pushes is for the fallback to judge."""

    def __init__(self, owner: FallbackSTT, service: STTService) -> None:
        super().__init__(name=f"{owner.name}.outlet")
        self._owner = owner
        self._service = service

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self._owner.take(self._service, frame, direction)


class FallbackSTT(FrameProcessor):
    """Hears with the first of these recognisers, and with the next if it fails.

    What was said while the first one failed is heard again by the next. One that has failed is used again,
    after its cool-down, from the beginning of an utterance on.

    Args:
        services: in order of preference.
        patience_s: how long (s) after the user has stopped there must be a transcript, even an empty one.
        cool_down_s: how long (s) one that failed is left alone.
    """

    def __init__(
        self,
        *services: STTService,
        patience_s: float = PATIENCE_S,
        cool_down_s: float = COOL_DOWN_S,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_services(self, services, STTService)
        self._services = services
        self._order: Order[STTService] = Order(self, services, cool_down_s)
        self._patience_s = patience_s
        self._active = services[0]
        self._inside: list[FrameProcessor] = []
        for service in services:
            before, behind = _Outlet(self, service), _Outlet(self, service)
            before.link(service)
            service.link(behind)
            self._inside += [before, service, behind]
        self._kept: deque[Frame] = deque()
        self._kept_s = 0.0
        self._speaking = False
        self._awaiting = False
        self._deadline: asyncio.TimerHandle | None = None

    def children(self) -> Iterator[FrameProcessor]:
        yield from self._inside

    async def cleanup(self) -> None:
        self._forget_deadline()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if direction is not DOWNSTREAM or not isinstance(frame, _OURS):
            return
        if isinstance(frame, StartFrame):
            for service in self._services:
                await service.receive(frame, direction)
            return
        if isinstance(frame, UserStartedSpeakingFrame):
            await self._utterance_begins()
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._utterance_ends()
        self._keep(frame)
        await self._active.receive(frame, direction)

    async def take(self, service: STTService, frame: Frame, direction: FrameDirection) -> None:
        """A recogniser pushes this."""
        if isinstance(frame, ErrorFrame):
            await self._failed(service, frame.exception or ServiceError(frame.error))
        elif isinstance(frame, _OURS) or service is not self._active:
            return  # passed on already; or late words of one that was given up
        else:
            if isinstance(frame, TranscriptionFrame):
                self._answered()
            elif isinstance(frame, InterimTranscriptionFrame):
                self._forget_deadline()
            await self.push_frame(frame, direction)

    # ------------------------------------------------------------ an utterance

    async def _utterance_begins(self) -> None:
        self._speaking = True
        self._forget_deadline()
        best = next(service for service, _ in self._order.now())
        if best is not self._active and not self._awaiting:
            self._active = best
            self._order.worked(best)
            await self._hear_again()

    def _utterance_ends(self) -> None:
        self._speaking = False
        self._awaiting = True
        self._forget_deadline()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._patience_s, self._is_overdue)

    def _answered(self) -> None:
        self._forget_deadline()
        if not self._speaking:
            self._awaiting = False
            self._trim()

    def _is_overdue(self) -> None:
        late = ServiceError(f"no transcript {self._patience_s:g} s after the user has stopped")
        self.create_task(self._failed(self._active, late), "overdue")

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # ------------------------------------------------------------ sound that may be needed again

    def _keep(self, frame: Frame) -> None:
        self._kept.append(frame)
        self._kept_s += _seconds(frame)
        if not (self._speaking or self._awaiting):
            self._trim()

    def _trim(self) -> None:
        while self._kept and self._kept_s - _seconds(self._kept[0]) >= LEAD_S:
            self._kept_s -= _seconds(self._kept.popleft())

    async def _failed(self, service: STTService, error: BaseException) -> None:
        self._order.failed(service, error)
        if service is not self._active:
            return
        following = next(other for other, _ in self._order.now())
        if self._order.is_resting(following):
            self._forget_deadline()
            await self.push_error(f"{self.name} failed: no other recogniser is left", exception=error)
            return
        self._active = following
        self._order.worked(following)
        if self._awaiting and not self._speaking:
            self._utterance_ends()
        await self._hear_again()

    async def _hear_again(self) -> None:
        for frame in tuple(self._kept):
            await self._active.receive(frame, DOWNSTREAM)


def _seconds(frame: Frame) -> float:
    if not isinstance(frame, InputAudioRawFrame):
        return 0.0
    return len(frame.audio) / (2 * frame.sample_rate * frame.num_channels)
