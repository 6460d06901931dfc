"""How processes of the run ended, and whether they do so too often."""

from __future__ import annotations

import signal
import time

QUICK_S, MOST_QUICK = 5.0, 3
"""A worker that dies so soon (s), so often, is not started again before something is saved."""


class Deaths:
    """The deaths of late."""

    def __init__(self) -> None:
        self._at: list[float] = []

    def one_more(self) -> bool:
        """One has died; whether that is too often."""
        now = time.monotonic()
        self._at = [at for at in self._at if now - at < QUICK_S * MOST_QUICK] + [now]
        return len(self._at) >= MOST_QUICK

    def forget(self) -> None:
        """Something was saved: it may go better now."""
        self._at.clear()


def how(status: int | None) -> str:
    """An exit status in words."""
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
