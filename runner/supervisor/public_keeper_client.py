"""The supervisor's side of the process that keeps the run's public address (`worker/public_keeper.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_never

from runner.errors import BotrunError
from runner.server.public.address import PublicAddress
from runner.supervisor.processes import ForkServer, Worker
from runner.worker.encoding import (
    MessageChannel,
)
from runner.worker.messages import (
    CloseTunnel,
    FromKeeper,
    GiveBack,
    KeeperFailed,
    KeeperJob,
    NumberOpen,
    OpenNumber,
    OpenTunnel,
    RunJob,
    Slots,
    ToKeeper,
    TunnelOpen,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class KeeperOwner:
    """What the client has its owner do.

    Attributes:
        spawn: run this beside.
        announce: the address leads here: show it.
        renew: the address is another one: load workers that know it.
        end: it cannot be kept; the run ends.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], None]
    announce: Callable[[], None]
    renew: Callable[[str], None]
    end: Callable[[BotrunError], None]


class PublicKeeperClient:
    """A public address, for the length of a run.

    Args:
        fork_server: where the keeper is forked.
        run: what each process of the run is given.
        owner: of the run.
    """

    def __init__(self, fork_server: ForkServer, run: RunJob, owner: KeeperOwner) -> None:
        self._fork_server = fork_server
        self._run = run
        self._owner = owner
        self._keeper: Worker | None = None
        self._known = asyncio.Event()
        self._sent: set[ToKeeper] = set()
        self._is_again = self._was_open = False
        self._address: PublicAddress | None = None
        self._slots: Slots | None = None

    def is_kept_by(self, worker: Worker) -> bool:
        """Whether this is the keeper's process."""
        return worker is self._keeper

    async def start(self) -> None:
        """Fork the keeper: at first, and when it crashed."""
        self._keeper = await self._fork_server.fork(KeeperJob(run=self._run, former=self._address))
        self._known.clear()
        self._sent.clear()
        if self._slots is not None:
            self._keeper.send(self._slots)
        self._owner.spawn(self._listen(self._keeper))

    async def address(self) -> PublicAddress:
        """The address, once the tunnel is open."""
        self._send(OpenTunnel())
        await self._known.wait()
        assert self._address is not None
        return self._address

    def open(self) -> None:
        """A worker answers at the port: try the address, and point the number here."""
        self._send(OpenNumber())

    def allow(self, calls: int) -> None:
        """So many public calls may be under way at once; 0 is no limit."""
        self._slots = Slots(calls=calls)
        if self._keeper is not None:
            self._keeper.send(self._slots)

    def give_back(self) -> None:
        """The run ends: point the number back."""
        self._send(GiveBack())

    async def close(self, within_s: float) -> None:
        """The last call is over."""
        self._send(CloseTunnel())
        if self._keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._keeper.ended.wait()

    def lost(self, how: str, wait_s: float | None) -> None:
        """The keeper has ended, though the run goes on: restart it after `wait_s`, or end the run (None)."""
        what = f"the process that keeps the public address {how}"
        if wait_s is None or not self._was_open:
            self._owner.end(BotrunError(f"{what}; botrun exits"))
            return
        logger.error("%s; botrun restarts it", what)
        self._owner.spawn(self._open_again(wait_s))

    async def _open_again(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        before = self._address
        await self.start()
        self._is_again = await self.address() == before
        if self._is_again:
            self.open()
        else:
            self._owner.renew("the public address has changed: ")

    # ------------------------------------------------------------ messages

    async def _listen(self, keeper: Worker) -> None:
        channel = MessageChannel[FromKeeper](keeper.channel, FromKeeper, "keeper")
        async for message in channel.messages():
            self._take(message)
        await keeper.ended.wait()
        await channel.aclose()

    def _take(self, message: FromKeeper) -> None:
        match message:
            case TunnelOpen(address=address):
                self._address = address
                self._known.set()
            case NumberOpen():
                self._was_open = True
                if self._is_again:
                    logger.info("the public address leads to this run again")
                else:
                    self._owner.announce()
            case KeeperFailed(failure=failure):
                self._owner.end(failure.raised())
            case _:
                assert_never(message)

    def _send(self, message: ToKeeper) -> None:
        """Each message once to each keeper."""
        if self._keeper is not None and message not in self._sent:
            self._sent.add(message)
            self._keeper.send(message)
