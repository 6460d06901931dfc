"""Whether the caller is still there: pure, `now` (s) in, decision out.

aiortc notices a vanished peer after 27 to 33 s (measured, `reference/RELIABILITY.md` §1). Media, its reports,
data and ICE's consent checks come at least every few seconds from a living one. When all of it is silent we
ask for consent ourselves, and go on asking: nothing at all for `GONE_SECS` is the end. That is long enough to
sit out a lost Wi-Fi, and short enough that a dead peer is noticed in under 10 s. A page that pings once a
second counts as absent sooner, after `ABSENT_SECS` without pings and without packets; it may come back.
"""

from __future__ import annotations

from dataclasses import dataclass

ABSENT_SECS = 3.0
SILENT_SECS = 2.0
GONE_SECS = 9.0


@dataclass(slots=True)
class Liveness:
    """Counts what is heard of one peer.

    Attributes:
        timeout_secs: how long a peer may take to connect, from its offer.
        offered_at: when that was.
        connected: whether it has connected since.
    """

    timeout_secs: float
    offered_at: float
    connected: bool = False
    _heard_at: float = 0.0
    _pinged_at: float | None = None
    _packets: int = 0

    def on_connected(self, now: float) -> None:
        self.connected = True
        self._heard_at = now

    def on_ping(self, now: float) -> None:
        self._pinged_at = self._heard_at = now

    def on_packets(self, total: int, now: float) -> None:
        """`total` packets were received so far."""
        if total != self._packets:
            self._packets = total
            self._heard_at = now

    def is_absent(self, now: float) -> bool:
        """It used to ping, and neither pings nor sends any more."""
        if self._pinged_at is None:
            return False
        return now - max(self._pinged_at, self._heard_at) > ABSENT_SECS

    def is_silent(self, now: float) -> bool:
        """It is time to ask whether it is still there."""
        return self.connected and now - self._heard_at >= SILENT_SECS

    def is_late(self, now: float) -> bool:
        """It has not connected in time."""
        return not self.connected and now - self.offered_at >= self.timeout_secs

    def is_gone(self, now: float) -> bool:
        """It was connected, and nothing has come for so long that nothing will."""
        return self.connected and now - self._heard_at >= GONE_SECS
