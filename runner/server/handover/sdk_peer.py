"""A page on Pipecat's client SDK as a far end that can come again, though it knows no word for it.

@pipecat-ai/small-webrtc-transport 1.10.8, dist/index.module.js: told to `renegotiate`, it sends a further
offer (`attemptReconnection(false)`). Where that fails with 5xx, it makes a new peer 2 s later and offers
again with `restart_pc` (`negotiate`); the old peer is closed when that offer has been answered. So

    renegotiate ─▶  ◀─ offer  503 ─▶  2 s  ◀─ offer, restart_pc  (waits for silence, hands over)  421 ─▶

and whoever passed that offer on (`siblings.py`) takes 421 for: the call is yours now. It does not say
`client-ready` again: the new code goes on in the version that it told the old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from runner.transports.webrtc import SmallWebRTCConnection

COMES_S, WAITS_S = 6.0, 9.0
"""How long (s) its second offer may take to come, and to be answered (`passing.PASS_S` is 10)."""


class GuestEnd:
    """A client of Pipecat's (`server/handover/moves.py`)."""

    waits = False
    in_a_hurry = False
    keeps_client = True

    def __init__(self, connection: SmallWebRTCConnection) -> None:
        self._connection = connection
        self._came = asyncio.Event()
        self._moved = asyncio.Event()
        self.is_asked = False

    async def hold(self) -> None:
        """It cannot hold back anything; but it is to come."""
        self.is_asked = True
        self._connection.ask_to_renegotiate()

    async def ready(self) -> bool:
        try:
            async with asyncio.timeout(COMES_S):
                await self._came.wait()
        except TimeoutError:
            self.is_asked = False
            return False
        return True

    async def has_moved(self) -> bool:
        """Its second offer is here: wait until the call is handed over; False if it is not."""
        self._came.set()
        try:
            async with asyncio.timeout(WAITS_S):
                await self._moved.wait()
        except TimeoutError:
            self.is_asked = False
            return False
        return True

    def tell_waiting(self, busy: str) -> None:
        """The terminal tells it."""

    async def move(self, left_out: list[str]) -> None:
        self._connection.moved = True
        self._moved.set()

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        """The terminal tells it."""


def is_guest(asked: Mapping[str, Any], agent: str) -> bool:
    """Whether this offer is of Pipecat's transport for browsers: others may take 503 for the end."""
    return "restart_pc" in asked and "moves" not in asked and "Mozilla" in agent
