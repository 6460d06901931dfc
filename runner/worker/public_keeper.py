"""The process that keeps a run's public address while workers are replaced.

Its messages are `ToKeeper` and `FromKeeper` in `worker/messages.py`. When the supervisor ends, it restores
the number's previous webhook and ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, assert_never

from runner.botcode.failure import failure_of
from runner.errors import BotrunError
from runner.eventloop.json_channel import Channel
from runner.server.public.address import PublicAddress
from runner.server.public.keeper import Keeper
from runner.server.public.ledger_client import NAME, serving_ledger
from runner.settings import Settings
from runner.worker.encoding import (
    MessageChannel,
    encode,
)
from runner.worker.messages import (
    CloseTunnel,
    GiveBack,
    KeeperFailed,
    KeeperJob,
    NumberOpen,
    OpenNumber,
    OpenTunnel,
    Slots,
    ToKeeper,
    TunnelOpen,
    WorkerSpec,
)
from runner.worker.shutdown import END_AT_ONCE, Shutdown
from runner.worker.standalone import PUBLIC_DEADLINE_S, PUBLIC_END_SESSIONS_S, first, run_loop
from runner.worker.supervised import settings_of

logger = logging.getLogger(__name__)

HANG_UP_S = 3.0
"""Time (s) that the end of the run waits for hanging up calls of workers that died."""


def run_keeper(spec: WorkerSpec, job: KeeperJob) -> int:
    """Run the keeper. Returns its exit status."""
    assert spec.public is not None
    port = spec.public.getsockname()[1]
    for listener in (spec.listener, spec.public):
        listener.close()
    try:
        settings, _ = settings_of(job.run)
    except BotrunError as error:
        spec.channel.sendall(encode(_failed(error)))
        return 1
    run_loop(KeeperProcess(spec, job, settings, port).run())
    return 0


class KeeperProcess:
    """The keeper, from its fork to the run's end. `port`: the port to which the tunnel forwards."""

    def __init__(self, spec: WorkerSpec, job: KeeperJob, settings: Settings, port: int) -> None:
        self._spec = spec
        self._job = job
        self._port = port
        self._keeper = Keeper(settings)
        self._grace_s = settings.shutdown_secs + PUBLIC_END_SESSIONS_S
        self._address: PublicAddress | None = None
        self._opening: asyncio.Task[None] | None = None
        self._hang_ups: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until the tunnel is closed and the number restored."""
        self._shutdown = Shutdown()
        self._shutdown.deadline_s = self._grace_s + PUBLIC_DEADLINE_S
        channel = await Channel.over(self._spec.channel)
        self._channel = MessageChannel[ToKeeper](channel, ToKeeper, "supervisor")
        ledger_client = Path(self._job.run.folder) / NAME
        with self._shutdown.capture(signals=(signal.SIGTERM,), at_once=END_AT_ONCE):
            async with serving_ledger(ledger_client, self._keeper.store, self._hang_up):
                hearing = asyncio.create_task(self._hear(), name="supervisor")
                try:
                    if not await first(hearing, self._shutdown.requested.wait()):
                        # Service managers signal all processes, but calls need the tunnel until they end.
                        await asyncio.wait({hearing}, timeout=self._grace_s)
                finally:
                    hearing.cancel()
                    await self._stop_opening()
                    if self._hang_ups:
                        await asyncio.wait(self._hang_ups, timeout=HANG_UP_S)
                    await self._keeper.aclose()
                    await self._channel.aclose()

    async def _hear(self) -> None:
        async for message in self._channel.messages():
            match message:
                case OpenTunnel():
                    self._begin(self._open_tunnel())
                case OpenNumber():
                    self._begin(self._open_number())
                case Slots(calls=calls):
                    self._keeper.store.allow(calls)
                case GiveBack():
                    await self._stop_opening()
                    await self._keeper.give_back()
                case CloseTunnel():
                    return
                case _:
                    assert_never(message)

    def _hang_up(self, provider: str, call_id: str) -> None:
        task = asyncio.create_task(self._keeper.hang_up(provider, call_id), name=f"hang up {call_id}")
        self._hang_ups.add(task)
        task.add_done_callback(self._hang_ups.discard)

    async def _open_tunnel(self) -> None:
        self._address = await self._keeper.address(self._port, self._job.former)
        self._channel.send(TunnelOpen(address=self._address))

    async def _open_number(self) -> None:
        assert self._address is not None
        await self._keeper.open(self._address)
        self._channel.send(NumberOpen())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._opening = asyncio.create_task(self._reported(work), name="opening")

    async def _reported(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BotrunError as error:
            self._channel.send(_failed(error))
        except Exception:
            logger.exception("the public address cannot be opened")
            self._shutdown.requested.set()

    async def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})


def _failed(error: BotrunError) -> KeeperFailed:
    return KeeperFailed(failure=failure_of(error, crashed=False))
