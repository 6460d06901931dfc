"""Time is injected: whatever needs it is given a `Clock`, or `now` as an argument.

In a running call the clock is the event loop's `time()`; in tests a virtual loop's, which jumps to
its next timer (`runner.testing`).
"""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds that only go forward."""
