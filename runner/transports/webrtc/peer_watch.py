"""Watches over one peer: whether it connects in time, and whether it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from runner.transports.webrtc.liveness import Liveness

if TYPE_CHECKING:
    from runner.transports.webrtc.peer import Peer

WATCH_SECS = 0.5


class Missed(Enum):
    """What a peer did not do."""

    NOT_IN_TIME = "it did not connect in time"
    GONE = "it was there, and nothing comes from it any more"


class Vigil:
    """Looks twice a second, over one peer after another.

    Args:
        timeout_secs: how long (s) a peer may take to connect.
        on_missed: told, on the loop, each time it is found missing.
    """

    def __init__(self, timeout_secs: float, on_missed: Callable[[Missed], None]) -> None:
        self._timeout_secs = timeout_secs
        self._on_missed = on_missed
        self._peer: Peer | None = None
        self._liveness = Liveness(timeout_secs, _now())
        self._watching: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def begin(self, peer: Peer) -> None:
        """This one has just been offered."""
        self._peer, self._liveness = peer, Liveness(self._timeout_secs, _now())
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="webrtc-vigil")

    def end(self) -> None:
        for task in (self._watching, self._asking):
            if task is not None:
                task.cancel()

    @property
    def has_connected(self) -> bool:
        """Whether this peer ever stood."""
        return self._liveness.connected

    @property
    def is_absent(self) -> bool:
        """It used to ping, and neither pings nor sends any more; it may come back."""
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
                if self._liveness.is_silent(now):
                    self._ask_consent(peer)
            if self._liveness.is_late(now):
                self._on_missed(Missed.NOT_IN_TIME)
            elif self._liveness.is_gone(now):
                self._on_missed(Missed.GONE)

    def _ask_consent(self, peer: Peer) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(peer.link.ask_consent(), name="webrtc-consent")


def _now() -> float:
    return asyncio.get_running_loop().time()
