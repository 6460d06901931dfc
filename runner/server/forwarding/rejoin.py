"""A further socket of a call: Exotel opens a second one, and a plain client comes back with its token.

The call may be with another worker, after a save: only its start message names it, so the socket is passed on
once that is read, and who passes it on stays for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.websockets import WebSocket

from runner.errors import ProtocolError
from runner.serializers.handshake import CallInfo
from runner.server.handover.other_workers import AGAIN_PATH
from runner.server.wire.websocket_protocol import POLICY_VIOLATION, close
from runner.transports.websocket.handshake import read_handshake
from runner.transports.websocket.socket import CallWebSocket

if TYPE_CHECKING:
    from pathlib import Path

    from runner.server.host import Host

logger = logging.getLogger(__name__)

RESUME_S = {"websocket": 10.0, "exotel": 2.0}
"""How long (s) a broken socket is waited for. Exotel opens a second one for the same call, once
(PROTOCOLS.md §4); a plain client comes back with its token."""

HEARD = "botrun.heard"
"""In a socket's scope: the messages of its start, as they came."""


def key_of(told: CallInfo) -> str:
    """What a provider's call is known by among `Host.calls`."""
    return f"{told.provider}:{told.call_id or told.stream_id}"


class Rejoining:
    """Finds the calls that further sockets are for."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def is_under_way(self, told: CallInfo) -> bool:
        """Whether this call has a socket here already."""
        return key_of(told) in self._host.calls

    def call_of(self, told: CallInfo) -> CallWebSocket | None:
        """The call that goes on with this socket; None if the socket brings a call of its own."""
        known = self._host.calls.get(key_of(told))
        return known if told.provider in RESUME_S else None

    async def elsewhere(self, told: CallInfo) -> Path | None:
        """The worker that has this call, where this is a further socket of a call of another."""
        other_workers = self._host.other_workers
        if other_workers is None or told.provider not in RESUME_S or self.is_under_way(told):
            return None
        return await other_workers.owner([key_of(told)])

    async def pass_on(self, owner: Path, websocket: WebSocket) -> None:
        """Carry an accepted socket, of which the start was read, to the worker of its call."""
        from runner.server.forwarding.proxy import pass_accepted

        task = asyncio.current_task()
        assert task is not None
        self._host.forwarded.add(task)
        try:
            await pass_accepted(owner, AGAIN_PATH, websocket, websocket.scope[HEARD])
        finally:
            self._host.forwarded.discard(task)


async def go_on(known: CallWebSocket, websocket: WebSocket, provider: str = "") -> None:
    """The call goes on with this socket; returns when it is over, or goes on with yet another."""
    if provider:
        logger.info("%s opened a second socket for its call: it goes on there", provider)
    known.rejoin(websocket)
    await known.until_done(websocket)


async def rejoin_here(host: Host, websocket: WebSocket) -> None:
    """A further socket of a call that this worker has, passed on by a newer one, who let it in."""
    await websocket.accept()
    with contextlib.suppress(ProtocolError):
        told = await read_handshake(websocket)
        if (known := host.calls.get(key_of(told))) is not None:
            await go_on(known, websocket, told.provider)
            return
    await close(websocket, POLICY_VIOLATION, "the call is over")
