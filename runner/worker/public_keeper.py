"""The process that keeps a run's public side while workers come and go.

From the supervisor:
    {"do": "address"}                   open the tunnel; answered by "address"
    {"do": "open"}                      a worker answers at the port: try the address, take the number
    {"do": "give back"}                 the run ends: the number does what it did
    {"do": "close"}                     nobody has a call any more: close the tunnel, and end
To the supervisor:
    {"is": "address", "address": {…}}   `PublicAddress`, for the workers
    {"is": "open"}                      all holds
    {"is": "failed", "failure": {…}}    it does not

Without a supervisor it gives back and ends, too.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.botcode.failure import failure_of
from runner.errors import BotrunError
from runner.eventloop.json_channel import Channel, encode
from runner.server.public.address import PublicAddress
from runner.server.public.keeper import Keeper
from runner.server.public.ledger.client import NAME, serving_ledger
from runner.settings import Settings
from runner.supervisor.processes import END_AT_ONCE
from runner.worker.shutdown import Shutdown
from runner.worker.standalone import PUBLIC_DEADLINE_S, first, run_loop
from runner.worker.supervised import settings_of

if TYPE_CHECKING:
    from runner.worker.fork_server import Birth

logger = logging.getLogger(__name__)


def run_keeper(birth: Birth) -> int:
    """The life of the keeper. Returns its exit status."""
    assert birth.public is not None
    port = birth.public.getsockname()[1]
    for listener in (birth.listener, birth.public):
        listener.close()
    try:
        settings, _ = settings_of(birth.job)
    except BotrunError as error:
        birth.channel.sendall(encode(_failed(error)))
        return 1
    run_loop(KeeperProcess(birth, settings, port).run())
    return 0


class KeeperProcess:
    """From its fork to the run's end. `port` is where the tunnel must lead."""

    def __init__(self, birth: Birth, settings: Settings, port: int) -> None:
        self._birth = birth
        self._port = port
        self._keeper = Keeper(settings)
        self._address: PublicAddress | None = None
        self._opening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Returns when all is given back."""
        self._shutdown = Shutdown()
        self._shutdown.deadline_s = PUBLIC_DEADLINE_S
        self._channel = await Channel.over(self._birth.channel)
        ledger_client = Path(self._birth.job["folder"]) / NAME
        with self._shutdown.capture(signals=(signal.SIGTERM,), at_once=END_AT_ONCE):
            async with serving_ledger(ledger_client, self._keeper.ledger):
                hearing = asyncio.create_task(self._hear(), name="supervisor")
                try:
                    await first(hearing, self._shutdown.requested.wait())
                finally:
                    hearing.cancel()
                    await self._stop_opening()
                    await self._keeper.aclose()
                    await self._channel.aclose()

    async def _hear(self) -> None:
        async for order in self._channel.messages():
            match order["do"]:
                case "address":
                    self._begin(self._lead_here())
                case "open":
                    self._begin(self._open())
                case "give back":
                    await self._stop_opening()
                    await self._keeper.give_back()
                case "close":
                    return

    async def _lead_here(self) -> None:
        former = self._birth.job["former"]
        self._address = await self._keeper.address(self._port, PublicAddress(**former) if former else None)
        self._channel.send({"is": "address", "address": self._address.as_dict()})

    async def _open(self) -> None:
        assert self._address is not None
        await self._keeper.open(self._address)
        self._channel.send({"is": "open"})

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._opening = asyncio.create_task(self._told(work), name="opening")

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BotrunError as error:
            self._channel.send(_failed(error))
        except Exception:
            logger.exception("the public address cannot be kept")
            self._shutdown.requested.set()

    async def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})


def _failed(error: BotrunError) -> dict[str, Any]:
    return {"is": "failed", "failure": failure_of(error, crashed=False).as_dict()}
