"""A door that nobody asked for is built when somebody comes to it: its imports cost time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from starlette.routing import Route, Router

from runner.services.common import warmup

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class LazyApp:
    """Stands for a door until it is needed.

    Args:
        make: imports and builds it; done in a thread, so that calls under way do not notice.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._door: ASGIApp | None = None
        self._making = asyncio.Lock()

    def router(self, paths: Iterable[str]) -> Router:
        """The routes that lead to it."""
        return Router([Route(path, self) for path in paths])

    async def ready(self) -> ASGIApp:
        """The door, built if it was not."""
        async with self._making:
            if self._door is None:
                self._door = await asyncio.to_thread(self._make)
                await warmup.start_all()
            return self._door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = await self.ready()
        await door(scope, receive, send)
