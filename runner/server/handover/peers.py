"""Callers that can reconnect, so that their calls can move to new code: the page and the local phone.

Providers' protocols cannot make a phone reconnect, so a real phone call stays with the code it began with.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket

from runner.eventloop.waiting import first_of
from runner.transports.session_port import SessionPort
from runner.transports.websocket.socket import MOVED, CallWebSocket

if TYPE_CHECKING:
    from runner.transports.webrtc import SmallWebRTCConnection

HEADER = "x-botrun-moves"
MOVES, WAITS = "moves", "waits"
"""Values of the header sent by the local phone: it reconnects when its socket is closed with `MOVED`; its
call also waits after the bot has failed, because a person is using it. A scenario's call ends with its
bot."""


def can_move(websocket: WebSocket) -> bool:
    """Whether this caller can reconnect. A page's script cannot set headers, so it uses the URL."""
    return HEADER in websocket.headers or websocket.query_params.get("moves") == "1"


class PhonePeer:
    """A local phone whose request said that it can move (`server/handover/moves.py`)."""

    in_a_hurry = False
    keeps_client = False

    def __init__(self, call: CallWebSocket, port: SessionPort) -> None:
        self._call = call
        self._port = port
        self.waits = call.headers.get(HEADER) == WAITS

    async def hold(self) -> None:
        """Nothing to do: sound cannot be held back."""

    async def ready(self) -> bool:
        return True

    def tell_waiting(self, busy: str) -> None:
        """The terminal shows it."""

    async def move(self, left_out: list[str]) -> None:
        self._port.moved = True
        await self._call.aclose(MOVED, "the new code is there")

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        """The terminal shows it."""


async def wait_for_mended_code(call: CallWebSocket, waits_over: asyncio.Event) -> None:
    """The bot has failed: keep its caller connected until the call has moved, or the caller hangs up."""
    await first_of(call.left.wait(), waits_over.wait())


HELD_S, FLUSH_S = 1.0, 1.0
"""Timeouts (s) for the page's answer and for sending a message."""


class WebRTCPeer:
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
        """Messages arrive in order, so none come after the page's answer."""
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


COMES_S, WAITS_S = 6.0, 9.0
"""Timeouts (s) for its second offer to come and to be answered (`proxy.PASS_S` is 10)."""


class SdkPeer:
    """One of Pipecat's clients (`server/handover/moves.py`)."""

    waits = False
    in_a_hurry = False
    keeps_client = True

    def __init__(self, connection: SmallWebRTCConnection) -> None:
        self._connection = connection
        self._came = asyncio.Event()
        self._moved = asyncio.Event()
        self.is_asked = False

    async def hold(self) -> None:
        """It cannot hold back input; ask it for a new offer."""
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
        """Its second offer has come: wait until the call is handed over; False if that fails."""
        self._came.set()
        try:
            async with asyncio.timeout(WAITS_S):
                await self._moved.wait()
        except TimeoutError:
            self.is_asked = False
            return False
        return True

    def tell_waiting(self, busy: str) -> None:
        """The terminal shows it."""

    async def move(self, left_out: list[str]) -> None:
        self._connection.moved = True
        self._moved.set()

    def tell_code(self, failure: Mapping[str, Any] | None, *, waits: bool) -> None:
        """The terminal shows it."""


def is_sdk_offer(asked: Mapping[str, Any], agent: str) -> bool:
    """Whether this offer is from Pipecat's browser transport; other clients may give up on a 503."""
    return "restart_pc" in asked and "moves" not in asked and "Mozilla" in agent
