"""Watches one peer: whether it connects in time, and whether it is still reachable.

aiortc notices a lost peer after 27 to 33 s. botrun sends consent checks (RFC 7675) every few seconds, and
more often if nothing comes from the peer. A peer that sends nothing for `GONE_SECS` is gone. A peer that
sends but does not answer checks is unreached: the network works in one direction only. Both timeouts are long
enough to survive a short loss of Wi-Fi, and short enough to notice a dead peer in under 10 s. A page that
pings once a second counts as absent sooner, after `ABSENT_SECS` without pings and packets; it may come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.transports.webrtc.peer import Peer

ABSENT_SECS = 3.0
SILENT_SECS = 2.0
CONSENT_SECS = 2.5
GONE_SECS = 9.0
UNREACHED_SECS = 9.0


@dataclass(slots=True)
class Liveness:
    """Tracks signs of life of one peer.

    Attributes:
        timeout_secs: time for a peer to connect, from its offer.
        offered_at: when the offer came.
        connected: whether it has connected since.
    """

    timeout_secs: float
    offered_at: float
    connected: bool = False
    _heard_at: float = 0.0
    _consent_at: float = 0.0
    _pinged_at: float | None = None
    _packets: int = 0

    def on_connected(self, now: float) -> None:
        self.connected = True
        self._heard_at = self._consent_at = now

    def on_ping(self, now: float) -> None:
        self._pinged_at = self._heard_at = now

    def on_consent(self, now: float) -> None:
        """The peer has answered a consent check."""
        self._consent_at = now

    def on_packets(self, total: int, now: float) -> None:
        """`total` packets were received so far."""
        if total != self._packets:
            self._packets = total
            self._heard_at = now

    def is_absent(self, now: float) -> bool:
        """Whether it used to ping, but now neither pings nor sends."""
        if self._pinged_at is None:
            return False
        return now - max(self._pinged_at, self._heard_at) > ABSENT_SECS

    def wants_consent(self, now: float) -> bool:
        """Whether a consent check is due."""
        if not self.connected:
            return False
        return now - self._heard_at >= SILENT_SECS or now - self._consent_at >= CONSENT_SECS

    def is_late(self, now: float) -> bool:
        """Whether it has not connected in time."""
        return not self.connected and now - self.offered_at >= self.timeout_secs

    def is_gone(self, now: float) -> bool:
        """Whether it was connected, but has sent nothing for `GONE_SECS`."""
        return self.connected and now - self._heard_at >= GONE_SECS

    def is_unreached(self, now: float) -> bool:
        """Whether it sends, but has not answered checks for too long: outgoing packets do not arrive."""
        is_heard = now - self._heard_at < SILENT_SECS
        return self.connected and is_heard and now - self._consent_at >= UNREACHED_SECS


WATCH_SECS = 0.5


class Missed(Enum):
    """Why a peer counts as missing."""

    NOT_IN_TIME = "it did not connect in time"
    GONE = "it was there, and nothing comes from it any more"
    UNREACHED = "it is heard, and answers nothing"


class PeerWatch:
    """Checks the current peer twice a second.

    Args:
        timeout_secs: time (s) for a peer to connect.
        on_missed: called on the loop each time the peer is found missing.
    """

    def __init__(self, timeout_secs: float, on_missed: Callable[[Missed], None]) -> None:
        self._timeout_secs = timeout_secs
        self._on_missed = on_missed
        self._peer: Peer | None = None
        self._liveness = Liveness(timeout_secs, _now())
        self._watching: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def begin(self, peer: Peer) -> None:
        """Watch this peer, which has just received its offer."""
        self._peer, self._liveness = peer, Liveness(self._timeout_secs, _now())
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="webrtc-peer-watch")

    def end(self) -> None:
        for task in (self._watching, self._asking):
            if task is not None:
                task.cancel()

    @property
    def has_connected(self) -> bool:
        """Whether this peer has ever connected."""
        return self._liveness.connected

    @property
    def is_absent(self) -> bool:
        """Whether the peer used to ping, but now neither pings nor sends; it may come back."""
        return self._liveness.is_absent(_now())

    def connected(self) -> None:
        self._liveness.on_connected(_now())

    def pinged(self) -> None:
        self._liveness.on_ping(_now())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(WATCH_SECS, self._timeout_secs))
            peer, now = self._peer, _now()
            if peer is not None and peer.state == "connected":
                self._liveness.on_packets(peer.heard, now)
                if self._liveness.wants_consent(now):
                    self._ask_consent(peer)
            if self._liveness.is_late(now):
                self._on_missed(Missed.NOT_IN_TIME)
            elif self._liveness.is_gone(now):
                self._on_missed(Missed.GONE)
            elif self._liveness.is_unreached(now):
                self._on_missed(Missed.UNREACHED)

    def _ask_consent(self, peer: Peer) -> None:
        if self._asking is None or self._asking.done():
            asking = self._have_consent(peer, self._liveness)
            self._asking = asyncio.create_task(asking, name="webrtc-consent")

    async def _have_consent(self, peer: Peer, liveness: Liveness) -> None:
        if await peer.link.ask_consent():
            liveness.on_consent(_now())


def _now() -> float:
    return asyncio.get_running_loop().time()
