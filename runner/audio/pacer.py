"""When the next chunk may leave: against an absolute timeline, a little ahead of the playout."""

from __future__ import annotations


class Pacer:
    """Lets sound run ahead of its playout by `lead_s` (s), and no further.

    The first chunk leaves at once; then chunks leave until the far end has `lead_s` of sound waiting,
    so that a stall of the sender as long as the lead is not heard. The timeline is absolute: lateness
    of one chunk does not add to the next. A far end that has run dry begins a new timeline.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self._played_until = float("-inf")

    def wait_s(self, now: float) -> float:
        """How long (s) the next chunk has to wait; 0 or less: it may leave."""
        return self._played_until - self.lead_s - now

    def sent(self, duration_s: float, now: float) -> None:
        """A chunk of this length has left."""
        self._played_until = max(self._played_until, now) + duration_s

    def reset(self) -> None:
        """The far end was told to drop what waits there."""
        self._played_until = float("-inf")
