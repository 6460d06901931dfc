"""Imports what no transport of the run needs on the first request, to save time and memory at start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from runner.services.common import warmup

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value created once, when first needed.

    Args:
        make: imports and creates it. Runs in a thread, so that it does not block active calls.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._making = asyncio.Lock()

    def now(self) -> T:
        """Create it synchronously, at the start of a run that needs it."""
        if self._made is None:
            self._made = self._make()
        return self._made

    async def get(self) -> T:
        """Create it if needed, and start what it registered for the warm-up."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
                await warmup.start_all()
            return self._made


class LazyApp:
    """An ASGI application that is created on its first request."""

    def __init__(self, app: Lazy[ASGIApp]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._app.get())(scope, receive, send)
