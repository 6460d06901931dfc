"""What the house that started a call wants to know of it: set around the bot, read by its transport."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


def _nobody(reason: str = "") -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One call's house.

    Attributes:
        came: a visitor has come.
        left: the last visitor has left.
        lost: the bot is not in the room (any more), and why.
    """

    came: Callable[[], None] = _nobody
    left: Callable[[], None] = _nobody
    lost: Callable[[str], None] = _nobody


NOBODY = Visit()

visit: ContextVar[Visit] = ContextVar("visit", default=NOBODY)
