"""Wait for the first of several things, and keep one object of a kind per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Kind = TypeVar("Kind")


async def first_of(*waits: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> bool:
    """Run these until the first returns, or `timeout_s` has passed (False); the others are cancelled.

    Raises what the first one raised.
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


def of_loop(loop: asyncio.AbstractEventLoop, kind: type[Kind], make: Callable[[], Kind]) -> Kind:
    """The one object of this kind that belongs to a loop; made when it is first asked for.

    It is kept on the loop itself: objects refer to their loop, so in a table beside it, even a weak one, each
    would keep its loop alive for ever.
    """
    kept: dict[type, Any] = loop.__dict__.setdefault("_botrun_objects", {})
    if kind not in kept:
        kept[kind] = make()
    found: Kind = kept[kind]
    return found
