"""Starts helper processes, models and connections before the first call.

A service registers itself when its module is imported, and the worker starts everything registered before it
accepts a call, so that the first caller does not wait for it.
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
_starting: dict[str, asyncio.Task[None]] = {}


def register(name: str, start: Step, stop: Step | None = None) -> None:
    """Register `start` to be awaited before the first call, and `stop` after the last; once per name."""
    _entries.setdefault(name, _Entry(name, start, stop or _nothing))


async def start_all() -> None:
    """Start everything that is registered and not started yet, concurrently; returns when all are ready.

    The first failure is raised.
    """
    for name, entry in _entries.items():
        if name not in _starting:
            _starting[name] = asyncio.create_task(_as_coroutine(entry.start), name=f"start {name}")
    if _starting:
        await asyncio.gather(*_starting.values())


async def stop_all() -> None:
    """Stop all, concurrently; a failure is logged and does not stop the others."""
    for task in _starting.values():
        task.cancel()
    _starting.clear()
    entries = tuple(_entries.values())
    results = await asyncio.gather(*(entry.stop() for entry in entries), return_exceptions=True)
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, BaseException):
            logger.warning("%s did not stop cleanly: %s", entry.name, result)


async def _as_coroutine(step: Step) -> None:
    await step()


async def _nothing() -> None:
    pass
