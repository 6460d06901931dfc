"""When workers of `botrun serve` end unasked: how long to wait before the next one, and what to report."""

from __future__ import annotations

import time

LASTS_S = 10.0
"""A worker that accepted calls for so long (s) is no part of a crash loop."""

LOOP = 3
"""So many that ended sooner, one after the other, are a loop."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class CrashLoop:
    """Counts workers that ended soon after their start."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def is_loop(self) -> bool:
        return self.count >= LOOP

    def ended(self, accepting_since: float | None) -> float:
        """A worker has crashed; how long (s) to wait before it is replaced.

        `accepting_since`: when it began to accept (monotonic); None if it never did.
        """
        if accepting_since is not None and time.monotonic() - accepting_since >= LASTS_S:
            self.count = 0
            return 0.0
        self.count += 1
        return 0.0 if self.count == 1 else min(FIRST_WAIT_S * 2 ** (self.count - 2), LONGEST_WAIT_S)

    def lasts(self) -> bool:
        """A worker has lasted; whether that ends a loop."""
        was_loop, self.count = self.is_loop, 0
        return was_loop
