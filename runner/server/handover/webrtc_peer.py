"""Our page as a far end that can come again: how its call moves to new code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.transports.webrtc import SmallWebRTCConnection

HELD_S, FLUSH_S = 1.0, 1.0
"""What the page may take (s) to answer, and a message to leave."""


class PageEnd:
    """A page whose offer said that it can move (`server/handover/moves.py`)."""

    waits = True
    keeps_client = False

    def __init__(self, connection: SmallWebRTCConnection) -> None:
        self._connection = connection
        self._held = asyncio.Event()
        self._hurry = False

        @connection.event_handler("held")
        async def held(connection: SmallWebRTCConnection, waiting: bool) -> None:
            self._held.set()
            self._hurry = self._hurry or waiting

    @property
    def in_a_hurry(self) -> bool:
        return self._hurry

    async def hold(self) -> None:
        """Its messages come in order: behind its answer there are no more."""
        self._connection.signal("hold")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HELD_S):
                await self._held.wait()

    async def ready(self) -> bool:
        return True

    def tell_waiting(self, busy: str) -> None:
        self._connection.signal("waits", busy=busy)

    async def move(self, left_out: list[str]) -> None:
        self._connection.moved = True
        self._connection.signal("moved", left_out=left_out)
        await self._connection.flush_messages(FLUSH_S)

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        shown = None
        if failure is not None:
            kept = {name: failure[name] for name in ("message", "line", "source")}
            shown = {**kept, "file": Path(failure["file"]).name}
        self._connection.signal("code", failure=shown, waits=waits)
