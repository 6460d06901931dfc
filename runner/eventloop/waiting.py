"""Wait for the first of several things, and keep one object of a kind per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Kind = TypeVar("Kind")


async def first_of(*waits: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> bool:
    """Run these until the first returns (True) or `timeout_s` has passed (False), then cancel the others.

    An exception of the first is raised here.
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
    return bool(done)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even if this is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation
    task.result()


def of_loop(loop: asyncio.AbstractEventLoop, kind: type[Kind], make: Callable[[], Kind]) -> Kind:
    """The loop's one object of this kind, created on first use.

    It is stored on the loop itself. Such objects refer to their loop, so a table elsewhere, even a weak one,
    would keep the loop alive forever.
    """
    kept: dict[type, Any] = loop.__dict__.setdefault("_botrun_objects", {})
    if kind not in kept:
        kept[kind] = make()
    found: Kind = kept[kind]
    return found
