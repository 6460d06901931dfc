"""The supervisor's side of its processes: the nursery, and each worker that was forked there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from runner.eventloop.json_channel import Channel, encode

END_NURSERY_S = 0.5
END_AT_ONCE = signal.SIGUSR2
"""Ends a worker that is ending already. Not a second SIGTERM: the first may have gone to all processes."""


class Worker:
    """One worker, from its fork to its end.

    Attributes:
        id: digits; ids of its calls begin with it.
        pid: 0 until it has been forked.
        status: its exit status; negative after a signal; None while it lives.
    """

    def __init__(self, worker_id: str, channel: Channel) -> None:
        self.id = worker_id
        self.pid = 0
        self.status: int | None = None
        self.channel = channel
        self.ended = asyncio.Event()
        self._doomed = False

    def tell(self, message: dict[str, Any]) -> None:
        """An order; see `worker/supervised.py`."""
        self.channel.send(message)

    def kill(self) -> None:
        """End it at once, even if its birth has not been told yet."""
        self._doomed = True
        self.signal(signal.SIGKILL)

    def born(self, pid: int) -> None:
        """It has been forked."""
        self.pid = pid
        if self._doomed:
            self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.pid and self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """Starts the nursery's process, and has it fork.

    Args:
        listeners: the port that all workers accept on, and that of a public address, if there is one.
        on_end: called with a worker that has ended.
        output: where the processes write (a terminal's file number); None: where this one does.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], on_end: Callable[[Worker], None], output: int | None = None
    ) -> None:
        self._on_end = on_end
        self._workers: dict[str, Worker] = {}
        self._count = 0
        self._buffer = b""
        self.failed = asyncio.Event()
        self._control, theirs = socket.socketpair()
        life, self._life = os.pipe()
        fds = (theirs.fileno(), life, *(listener.fileno() for listener in listeners))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "runner.worker.fork_server", *map(str, fds)],
                pass_fds=fds,
                # Keys are the terminal's, where there is one.
                stdin=None if output is None else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        os.close(life)
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control, self._read)

    @property
    def living(self) -> list[Worker]:
        """Workers that have not ended."""
        return list(self._workers.values())

    def prepare(self, modules: Sequence[str]) -> None:
        """Import these before the next fork; those that cannot be are left out."""
        self._control.send(encode({"modules": list(modules)}))

    def prepare_more(self) -> None:
        """Import what the first worker had to load besides; for the time after its start."""
        with contextlib.suppress(OSError):
            self._control.send(encode({"later": True}))

    async def fork(self, job: dict[str, Any]) -> Worker:
        """A new worker; its `pid` is known a little later."""
        self._count += 1
        ours, theirs = socket.socketpair()
        worker = Worker(str(self._count), await Channel.over(ours))
        self._workers[worker.id] = worker
        with theirs:
            order = encode({**job, "worker": worker.id})
            with contextlib.suppress(OSError):  # it is gone: `_read` says so
                socket.send_fds(self._control, [order], [theirs.fileno()])
        return worker

    def _read(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self._lost()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if "forked" in told:
            self._workers[told["forked"]].born(told["pid"])
            return
        for worker in self.living:
            if worker.pid == told["ended"]:
                self._finish(worker, told["status"])

    def _finish(self, worker: Worker, status: int) -> None:
        worker.status = status
        del self._workers[worker.id]
        worker.ended.set()
        self._on_end(worker)

    def _lost(self) -> None:
        """Without it, its workers end as well."""
        self.failed.set()
        for worker in self.living:
            self._finish(worker, -signal.SIGKILL)

    async def aclose(self) -> None:
        """End it; its workers should have ended before."""
        for worker in self.living:
            worker.signal(signal.SIGKILL)
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        try:
            await asyncio.to_thread(self._process.wait, END_NURSERY_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._life)
