"""Wait for what nothing announces: look until it holds, or fail at a deadline."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

Found = TypeVar("Found")

Text = str | Callable[[], str]

LOOK_S = 0.005


async def eventually(
    look: Callable[[], Found | Awaitable[Found]], within_s: float = 20.0, *, what: Text = ""
) -> Found:
    """Call `look` every 5 ms of the loop's time until it returns something true; returns that.

    Raises:
        AssertionError: it did not within `within_s`; names `what` (text, or a function returning it) or the
            place of `look`, and its last value.
    """
    found: Found | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                looked = look()
                found = await looked if inspect.isawaitable(looked) else cast(Found, looked)
                if found:
                    return found
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        said = what() if callable(what) else what
        raise AssertionError(f"not within {within_s:g} s: {said or _place(look)}; last: {found!r}") from None


async def steady(look: Callable[[], Found], for_s: float = 0.2, within_s: float = 20.0) -> Found:
    """Call `look` until it has returned the same for `for_s` of the loop's time; returns that."""
    loop, found, since = asyncio.get_running_loop(), look(), asyncio.get_running_loop().time()

    def is_steady() -> bool:
        nonlocal found, since
        if (now := look()) != found:
            found, since = now, loop.time()
        return loop.time() - since >= for_s

    await eventually(is_steady, within_s, what=lambda: f"{_place(look)} returns the same for {for_s:g} s")
    return found


def _place(look: Callable[[], object]) -> str:
    code = getattr(look, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(look)
