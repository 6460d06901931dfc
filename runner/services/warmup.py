"""What has to be running before the first call: helper processes, models, connections.

A service registers itself when its module is imported, and the worker starts all that are registered
before it accepts a call: the first caller pays for nothing that could have been ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class _Entry:
    name: str
    start: Step
    stop: Step


_entries: dict[str, _Entry] = {}


def register(name: str, start: Step, stop: Step) -> None:
    """Have `start` awaited before the first call and `stop` after the last; once per name."""
    _entries.setdefault(name, _Entry(name, start, stop))


async def start_all() -> None:
    """Start all that are registered, side by side. What fails raises."""
    async with asyncio.TaskGroup() as group:
        for entry in _entries.values():
            group.create_task(_as_coroutine(entry.start))


async def stop_all() -> None:
    """Stop all, side by side; a failure is logged and holds up nobody."""
    entries = tuple(_entries.values())
    results = await asyncio.gather(*(entry.stop() for entry in entries), return_exceptions=True)
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, BaseException):
            logger.warning("%s did not stop cleanly: %s", entry.name, result)


async def _as_coroutine(step: Step) -> None:
    await step()
