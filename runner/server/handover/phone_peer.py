"""This machine's phone as a far end that can come again: how its call moves to new code.

A provider's wire has no words for it, so that a real phone's call is finished by the code it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.websockets import WebSocket

from runner.eventloop.waiting import first_of
from runner.transports.session_port import SessionPort
from runner.transports.websocket.socket import MOVED, CallWebSocket

HEADER = "x-botrun-moves"
MOVES, WAITS = "moves", "waits"
"""Our phone says so that it comes again when its socket is closed by `MOVED`; and that a bot which fails
shall not end its call: somebody types there. A scenario's call has failed with its bot."""


def can_move(websocket: WebSocket) -> bool:
    """Whether this far end comes again. A page's script cannot send headers: it says so in its address."""
    return HEADER in websocket.headers or websocket.query_params.get("moves") == "1"


class PhonePeer:
    """A phone whose socket said that it can move (`server/handover/moves.py`)."""

    in_a_hurry = False
    keeps_client = False

    def __init__(self, call: CallWebSocket, port: SessionPort) -> None:
        self._call = call
        self._port = port
        self.waits = call.headers.get(HEADER) == WAITS

    async def hold(self) -> None:
        """Sound cannot be held back."""

    async def ready(self) -> bool:
        return True

    def tell_waiting(self, busy: str) -> None:
        """The terminal tells it."""

    async def move(self, left_out: list[str]) -> None:
        self._port.moved = True
        await self._call.aclose(MOVED, "the new code is there")

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        """The terminal tells it."""


async def wait_for_mended_code(call: CallWebSocket, waits_over: asyncio.Event) -> None:
    """The bot has failed: keep its caller on the line until the call has moved, or the caller hangs up."""
    await first_of(call.left.wait(), waits_over.wait())
