"""Limits unverified connections, so that unknown clients cannot exhaust a port.

A connection is unverified until a WebSocket is accepted on it or the application calls `verify`; on the
public port, that is after a webhook's signature or a call's token was checked. Above the limits, the oldest
idle unverified connection is closed, not the newest: a provider sends its request right after connecting and
is verified at once, however many idle connections others open. Connections with a request being answered are
closed last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from runner.server.access import is_loopback

logger = logging.getLogger(__name__)

MAX_UNVERIFIED, MAX_BURST = 256, 1024
GRACE_S = 1.0
"""Time (s) for which a connection may exceed the limits, since requests answered at once are harmless."""

LOG_EVERY_S = 10.0

VERIFY = "botrun.verify"
"""The ASGI extension with which an application marks the client as verified."""


def verify(scope: MutableMapping[str, Any]) -> None:
    """Mark this request's client as verified: its connection is no longer limited."""
    extension = scope.get("extensions", {}).get(VERIFY)
    if extension is not None:
        extension["verify"]()


def extension(verified: Callable[[], None]) -> dict[str, Any]:
    """The entry in a scope's `extensions` that `verify` uses."""
    return {VERIFY: {"verify": verified}}


def default_burst() -> int:
    """Default for `burst`: at most a quarter of this process's file descriptor limit."""
    try:
        import resource
    except ImportError:  # Windows
        return MAX_BURST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_BURST if soft == resource.RLIM_INFINITY else max(16, min(MAX_BURST, soft // 4))


@dataclass(slots=True)
class _Unverified:
    address: str
    since: float
    answering: bool = False


class ConnectionLimits:
    """The unverified connections of one port.

    Args:
        total: maximum number in total, after `GRACE_S`; None derives it from `burst`.
        per_address: maximum number per address; None is half of `total`. Behind a tunnel or a proxy, all
            connections come from its address.
        burst: maximum number in total at any time; None derives it from the file descriptor limit.
        limits_local: whether clients on this machine are limited, too.
    """

    def __init__(
        self,
        total: int | None = None,
        per_address: int | None = None,
        burst: int | None = None,
        *,
        limits_local: bool = False,
    ) -> None:
        self.burst = default_burst() if burst is None else burst
        self.total = min(MAX_UNVERIFIED, self.burst // 2) if total is None else total
        self.per_address = max(1, self.total // 2) if per_address is None else per_address
        self._limits_local = limits_local
        # Ordered by when they were opened or last became idle.
        self._unverified: dict[asyncio.BaseTransport, _Unverified] = {}
        self._addresses: Counter[str] = Counter()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = 0
        self._logged_at = -LOG_EVERY_S

    def opened(self, transport: asyncio.Transport) -> None:
        """A client has connected; may close another connection."""
        address = _address(transport.get_extra_info("peername"))
        if not address or (not self._limits_local and is_loopback(address)):
            return
        self._unverified[transport] = _Unverified(address, time.monotonic())
        self._addresses[address] += 1
        self._enforce(address)

    def answering(self, transport: asyncio.BaseTransport) -> None:
        """A complete request has arrived."""
        if (found := self._unverified.get(transport)) is not None:
            found.answering = True

    def idle(self, transport: asyncio.BaseTransport) -> None:
        """The request is answered."""
        if (found := self._unverified.pop(transport, None)) is not None:
            self._unverified[transport] = _Unverified(found.address, time.monotonic())

    def verified(self, transport: asyncio.BaseTransport) -> None:
        """The client has been verified."""
        self.closed(transport)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """The connection has ended."""
        if (found := self._unverified.pop(transport, None)) is not None:
            self._addresses[found.address] -= 1
            if not self._addresses[found.address]:
                del self._addresses[found.address]

    # ------------------------------------------------------------ closing

    def _enforce(self, *addresses: str) -> None:
        now = time.monotonic()
        for address in addresses:
            while self._addresses[address] > self.per_address and self._close_oldest(address, now):
                pass
        while len(self._unverified) > self.total and self._close_oldest(None, now):
            pass

    def _close_oldest(self, address: str | None, now: float) -> bool:
        """Close the oldest connection of this address, or of any; False if all of them are new."""
        candidates = [
            (transport, connection)
            for transport, connection in self._unverified.items()
            if address is None or connection.address == address
        ]
        idle = next((each for each in candidates if not each[1].answering), None)
        transport, connection = idle or candidates[0]
        if now - connection.since < GRACE_S and len(self._unverified) <= self.burst:
            self._enforce_later()
            return False
        self._log(transport, connection.address)
        self.closed(transport)
        cast(asyncio.WriteTransport, transport).abort()
        return True

    def _enforce_later(self) -> None:
        def sweep() -> None:
            self._sweep = None
            self._enforce(*list(self._addresses))

        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(GRACE_S, sweep)

    def _log(self, transport: asyncio.BaseTransport, address: str) -> None:
        self._closed += 1
        now = time.monotonic()
        if now - self._logged_at < LOG_EVERY_S:
            return
        self._logged_at = now
        port = (transport.get_extra_info("sockname") or ("", "?"))[1]
        logger.warning(
            "port %s has too many connections without a verified request: closed %d, the last one from %s "
            "(limits: %d in all, %d from one address). Calls are not affected.",
            port,
            self._closed,
            address,
            self.total,
            self.per_address,
        )
        self._closed = 0


def _address(peer: object) -> str:
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
