"""The supervisor's side of the process that keeps the run's public address (`keeping.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from runner.botcode.failure import Failure
from runner.errors import BotrunError
from runner.supervisor.processes import Nursery, Worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LineOwner:
    """What the line has its owner do.

    Attributes:
        spawn: run this beside.
        announce: the address leads here: tell people.
        renew: the address is another one: let workers take over that know it.
        end: it cannot be kept.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], None]
    announce: Callable[[], None]
    renew: Callable[[str], None]
    end: Callable[[BotrunError], None]


class PublicLine:
    """A public address, for the length of a run.

    Args:
        nursery: where its process is forked.
        job: what that process is told at its birth.
        owner: of the run.
    """

    def __init__(self, nursery: Nursery, job: dict[str, Any], owner: LineOwner) -> None:
        self._nursery = nursery
        self._job = job
        self._owner = owner
        self._keeper: Worker | None = None
        self._known = asyncio.Event()
        self._orders: set[str] = set()
        self._is_again = self._was_open = False
        self._address: dict[str, Any] | None = None

    def is_kept_by(self, worker: Worker) -> bool:
        """Whether this is its process."""
        return worker is self._keeper

    async def start(self) -> None:
        """Fork its process; at first, and when it was lost."""
        job = {**self._job, "keeps": "public", "former": self._address}
        self._keeper = await self._nursery.fork(job)
        self._known.clear()
        self._orders.clear()
        self._owner.spawn(self._hear(self._keeper))

    async def where(self) -> dict[str, Any]:
        """The address, once the tunnel stands."""
        self._order("address")
        await self._known.wait()
        assert self._address is not None
        return self._address

    def open(self) -> None:
        """A worker answers at the port: the address may be tried, and the number set."""
        self._order("open")

    def give_back(self) -> None:
        """The run ends: no more calls shall come."""
        self._order("give back")

    async def close(self, within_s: float) -> None:
        """The last call is over."""
        self._order("close")
        if self._keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._keeper.ended.wait()

    def lost(self, how: str, *, often: bool) -> None:
        """Its process has ended, though the run goes on."""
        what = f"the process that keeps the public address {how}"
        if often or not self._was_open:
            self._owner.end(BotrunError(f"{what}: botrun ends"))
            return
        logger.error("%s: it is opened again", what)
        self._owner.spawn(self._open_again())

    async def _open_again(self) -> None:
        before = self._address
        await self.start()
        self._is_again = await self.where() == before
        if self._is_again:
            self.open()
        else:
            self._owner.renew("the public address is another one: ")

    # ------------------------------------------------------------ what it tells

    async def _hear(self, keeper: Worker) -> None:
        async for told in keeper.channel.messages():
            self._take(told)
        await keeper.ended.wait()
        await keeper.channel.aclose()

    def _take(self, told: dict[str, Any]) -> None:
        match told["is"]:
            case "address":
                self._address = told["address"]
                self._known.set()
            case "open":
                self._was_open = True
                if self._is_again:
                    logger.info("the public address leads here again")
                else:
                    self._owner.announce()
            case "failed":
                self._owner.end(Failure(**told["failure"]).raised())

    def _order(self, what: str) -> None:
        """Each once, to each process."""
        if self._keeper is not None and what not in self._orders:
            self._orders.add(what)
            self._keeper.tell({"do": what})
