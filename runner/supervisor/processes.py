"""The supervisor's side of its processes: the fork server, and each process that it forks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import assert_never

from runner.eventloop.json_channel import Channel, LineWriter
from runner.worker.encoding import (
    MessageError,
    decode,
    encode,
)
from runner.worker.messages import (
    Ended,
    Fork,
    Forked,
    FromForkServer,
    ImportLater,
    ImportModules,
    KeeperJob,
    Message,
    ToForkServer,
    WorkerJob,
)

logger = logging.getLogger(__name__)

END_FORK_SERVER_S = 0.5
PIPE_BYTES = 1 << 16

Note = tuple[str, Path]


class Worker:
    """One forked process, from its fork to its end.

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
        self._kill_when_forked = False

    def send(self, message: Message) -> None:
        """Send a message; see `worker/messages.py`."""
        self.channel.send_line(encode(message))

    def kill(self) -> None:
        """End it at once, even if it has not been forked yet."""
        self._kill_when_forked = True
        self.signal(signal.SIGKILL)

    def forked(self, pid: int) -> None:
        """The fork server has forked it."""
        self.pid = pid
        if self._kill_when_forked:
            self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.pid and self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """Starts the fork server's process, and has it fork.

    Args:
        program: the command that starts it, without its arguments.
        listeners: the port that all workers accept on, and that of a public address, if there is one.
        on_end: called with a worker that has ended.
        on_notes: called with what workers report of files (`BotFiles.note`).
        output: where the processes write (a terminal's file number); None: where this one does.
    """

    def __init__(
        self,
        program: Sequence[str],
        listeners: Sequence[socket.socket],
        on_end: Callable[[Worker], None],
        on_notes: Callable[[list[Note]], None],
        output: int | None = None,
    ) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._workers: dict[str, Worker] = {}
        self._count = 0
        self._buffer = b""
        self._notes_buffer = b""
        self.failed = asyncio.Event()
        self._control, theirs = socket.socketpair()
        life, self._life = os.pipe()
        self._notes_pipe, writes = os.pipe()
        for fd in (self._notes_pipe, writes):
            os.set_blocking(fd, False)
        fds = (theirs.fileno(), life, writes, *(listener.fileno() for listener in listeners))
        with theirs:
            self._process = subprocess.Popen(
                [*program, *map(str, fds)],
                pass_fds=fds,
                # Keys are the terminal's, where there is one.
                stdin=None if output is None else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        os.close(life)
        os.close(writes)
        self._control.setblocking(False)
        self._writer = LineWriter(self._control)
        self._loop.add_reader(self._control, self._read)
        self._loop.add_reader(self._notes_pipe, lambda: on_notes(self.notes()))

    @property
    def living(self) -> list[Worker]:
        """Workers that have not ended."""
        return list(self._workers.values())

    @property
    def pids(self) -> list[int]:
        """The fork server's and its workers'."""
        return [self._process.pid, *(worker.pid for worker in self._workers.values() if worker.pid)]

    def prepare(self, modules: Sequence[str]) -> None:
        """Import these before the next fork; those that cannot be imported are left out."""
        self._send(ImportModules(modules=tuple(modules)))

    def prepare_more(self) -> None:
        """Import what the first worker had to load itself; called once that one accepts."""
        self._send(ImportLater())

    async def fork(self, job: WorkerJob | KeeperJob) -> Worker:
        """A new worker; its `pid` is known a little later."""
        self._count += 1
        ours, theirs = socket.socketpair()
        worker = Worker(str(self._count), await Channel.over(ours))
        self._workers[worker.id] = worker
        with theirs:
            self._send(Fork(worker=worker.id, job=job), theirs.fileno())
        return worker

    def notes(self) -> list[Note]:
        """What workers have read and written since the last question; see `BotFiles.note`."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._notes_pipe, PIPE_BYTES):
                self._notes_buffer += data
            self._loop.remove_reader(self._notes_pipe)  # all writers are gone
        *lines, self._notes_buffer = self._notes_buffer.split(b"\n")
        return [(line[:1].decode(), Path(os.fsdecode(line[2:]))) for line in lines]

    def _send(self, message: ToForkServer, fd: int | None = None) -> None:
        """A message waits while the pipe is full: the fork server may be importing for seconds."""
        with contextlib.suppress(OSError):  # the fork server is gone: `_read` reports it
            self._writer.send(encode(message), fd)
            self._await_pipe()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.flush()
        self._await_pipe()

    def _await_pipe(self) -> None:
        if self._writer.pending and not self.failed.is_set():
            self._loop.add_writer(self._control, self._flush)
        else:
            self._loop.remove_writer(self._control)

    def _read(self) -> None:
        try:
            data = self._control.recv(PIPE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            try:
                self._take(decode(line, FromForkServer))
            except MessageError as error:
                logger.error("fork server: %s; botrun ignores it", error)

    def _take(self, message: FromForkServer) -> None:
        match message:
            case Forked(worker=worker_id, pid=pid):
                if (worker := self._workers.get(worker_id)) is not None:
                    worker.forked(pid)
            case Ended(pid=pid, status=status):
                for worker in self.living:
                    if worker.pid == pid:
                        self._finish(worker, status)
            case _:
                assert_never(message)

    def _finish(self, worker: Worker, status: int) -> None:
        worker.status = status
        del self._workers[worker.id]
        worker.ended.set()
        self._on_end(worker)

    def _lost(self) -> None:
        """Without the fork server its workers end as well."""
        self.failed.set()
        self._stop_watching()
        for worker in self.living:
            self._finish(worker, -signal.SIGKILL)

    def _stop_watching(self) -> None:
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        self._writer.close()

    async def aclose(self) -> None:
        """End it; its workers should have ended before."""
        for worker in self.living:
            worker.signal(signal.SIGKILL)
        self._stop_watching()
        self._control.close()
        self._loop.remove_reader(self._notes_pipe)
        try:
            await asyncio.to_thread(self._process.wait, END_FORK_SERVER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._life)
        os.close(self._notes_pipe)


# ------------------------------------------------------------------ crashes

STEADY_S = 60.0
"""A process that lives so long (s) before it crashes begins the count again."""

MOST_CRASHES = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0


class CrashLimiter:
    """How often processes of one kind crashed of late, and how long to wait before the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._last = float("-inf")

    def crashed(self) -> float | None:
        """Count a crash; how long (s) to wait before a restart, or None: do not restart."""
        now = time.monotonic()
        self.count = self.count + 1 if now - self._last < STEADY_S else 1
        self._last = now
        if self.count >= MOST_CRASHES:
            return None
        return 0.0 if self.count == 1 else min(FIRST_WAIT_S * 2 ** (self.count - 2), LONGEST_WAIT_S)

    def forget(self) -> None:
        """Something was saved: the next crash is the first."""
        self.count = 0


def how_it_ended(status: int | None) -> str:
    """An exit status in words."""
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


async def end_workers(workers: Iterable[Worker], until: float) -> None:
    """Ask workers to end, and wait for them until this time (s) of `time.monotonic`."""
    ending = list(workers)
    for worker in ending:
        worker.signal(signal.SIGTERM)
    ends = [asyncio.ensure_future(worker.ended.wait()) for worker in ending]
    if ends:
        _, late = await asyncio.wait(ends, timeout=until - time.monotonic())
        for end in late:
            end.cancel()
