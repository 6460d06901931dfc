"""Waits for the moment at which the model may be asked again, unasked by the user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runner.processors.base import FrameProcessor
from runner.processors.context import LLMContext

QUIET_S = 1.2
"""Nobody has spoken for so long (s): what the user said has been recognised, or was no speech."""

LOOK_S = 0.1


class RightMoment:
    """Asks `ask(context)` when nobody has spoken for `QUIET_S`, unless `forget` was called before.

    Args:
        owner: starts the task.
        noisy: whether somebody speaks, or a reply is being made.
        ask: asks the model.
    """

    def __init__(
        self, owner: FrameProcessor, noisy: Callable[[], bool], ask: Callable[[LLMContext], Awaitable[None]]
    ) -> None:
        self._owner = owner
        self._noisy = noisy
        self._ask = ask
        self._wanted: LLMContext | None = None
        self._waiting: asyncio.Task[None] | None = None

    def want(self, context: LLMContext) -> None:
        """There is something new in this context."""
        self._wanted = context
        if self._waiting is None or self._waiting.done():
            self._waiting = self._owner.create_task(self._wait(), "wait for quiet")

    def forget(self) -> None:
        """The model is being asked and sees it all."""
        self._wanted = None

    async def _wait(self) -> None:
        while self._wanted is not None:
            await self._quiet()
            context, self._wanted = self._wanted, None
            if context is not None:
                await self._ask(context)

    async def _quiet(self) -> None:
        quiet_s = 0.0
        while self._wanted is not None and quiet_s < QUIET_S:
            await asyncio.sleep(LOOK_S)
            quiet_s = 0.0 if self._noisy() else quiet_s + LOOK_S
