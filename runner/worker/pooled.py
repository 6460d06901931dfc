"""A worker of `botrun serve`: it gets its connections from the supervisor and reports its load.

Its calls never move to another process, because there is no newer code. When it retires, it accepts no more
calls and ends after its last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from runner.sessions.admission import Admission
from runner.sessions.stats import quantile
from runner.worker.messages import Drain, RunCarries, ToWorker, WorkerLoad
from runner.worker.standalone import first
from runner.worker.supervised import REPORT_EVERY_S, SupervisedWorker

if TYPE_CHECKING:
    from runner.server.host import Host
    from runner.server.public.public_side import PublicSide
    from runner.server.wire.uvicorn_server import Server

TICK_S = 0.1
TICKS_OF_REPORT = 5
LAGS = 40
"""Number of ticks over which the reported lag is measured."""

LOOK_S = 0.1
MB = 1 << 20


class PooledWorker(SupervisedWorker):
    """From the loaded bot to the last call's end."""

    _admission: Admission

    def _connect(self, host: Host) -> None:
        assert self._job.pool is not None
        self._admission = Admission(self._job.pool.calls)
        host.sessions.admission = self._admission

    def _listener(self) -> socket.socket | None:
        return None

    @contextlib.asynccontextmanager
    async def _taking(self, server: Server, public: PublicSide) -> AsyncIterator[None]:
        from runner.server.wire.handed import MAIN, PUBLIC, HandedConnections

        servers = {MAIN: server} | ({PUBLIC: public.server} if public.server is not None else {})
        self._handed = HandedConnections(Path(self._job.run.folder), self._spec.id, servers)
        async with self._handed.taking():
            yield

    def _take(self, message: ToWorker, host: Host) -> None:
        match message:
            case Drain():
                self._admission.draining = True
            case RunCarries(load=load):
                self._admission.run = load
            case _:
                super()._take(message, host)

    async def _drain(self, host: Host, server: Server, public: PublicSide) -> None:
        """The supervisor sends no more connections; wait until all calls have ended."""
        leaving = asyncio.create_task(self._left(host, server, public), name="leaving")
        try:
            await first(leaving, self._shutdown.requested.wait())
        finally:
            leaving.cancel()
            await asyncio.wait({leaving})

    async def _left(self, host: Host, server: Server, public: PublicSide) -> None:
        await self._handed.closed.wait()
        server.close_idle()
        public.refuse_more()
        while host.sessions.active or host.forwarded or self._admission.reserved:
            await asyncio.sleep(LOOK_S)
        if host.bot.finished is not None:
            await host.bot.finished()

    async def _report(self, host: Host) -> None:
        """Report the load twice a second and when the number of calls changes, and the statistics
        regularly."""
        usage, lags, calls, tick = _Usage(), deque[float](maxlen=LAGS), (-1, -1), 0
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            lags.append(time.monotonic() - due)
            tick += 1
            now = (len(host.sessions.active), self._admission.reserved)
            if now != calls or tick % TICKS_OF_REPORT == 0:
                calls = now
                lag_ms = round(quantile(lags, 0.95) * 1000, 2)
                self._channel.send(WorkerLoad(calls=now[0], reserved=now[1], lag_ms=lag_ms, **usage.read()))
            if tick % int(REPORT_EVERY_S / TICK_S) == 0:
                self._send_totals(host)


class _Usage:
    """CPU and memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = time.monotonic(), time.process_time()
        self._cpu = 0.0

    def read(self) -> dict[str, float]:
        """CPU usage (cores) over at least the last report interval, and resident memory (MB)."""
        at, cpu_s = time.monotonic(), time.process_time()
        if at - self._before[0] >= TICK_S * TICKS_OF_REPORT:
            self._cpu = (cpu_s - self._before[1]) / (at - self._before[0])
            self._before = at, cpu_s
        memory_mb = self._process.memory_info().rss / MB
        return {"cpu": round(self._cpu, 3), "memory_mb": round(memory_mb, 1)}
