"""With many calls on one loop, sockets are polled every `EVERY_S` and read as one batch (a round).

Between single messages the CPU idles and wakes with cold caches: the first message after 5 ms of idle time
costs 135 µs, each one right behind it 57 µs (25 phone calls on a machine with two cores). So a process with
few calls reads each message as it arrives, and one with many delays them by up to `EVERY_S`. Timed work, such
as sending the next chunk, is delayed to the round in the same way (`call_at`).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import os
import select
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from runner.eventloop.waiting import of_loop

logger = logging.getLogger(__name__)

EVERY_S = 0.005
"""Time (s) between rounds: the maximum delay of a message or of timed work."""

MANY, FEW = 16, 12
"""Number of sockets at which rounds start, and at which they stop. At 9 calls they save 8 %, at 25, 24 %."""

MOST_BYTES = 16384
"""Maximum read from one socket per round; ten audio messages are 4,000 bytes."""


def rounds_of(loop: asyncio.AbstractEventLoop) -> Rounds:
    """The `Rounds` of this loop."""
    return of_loop(loop, Rounds, lambda: Rounds(loop))


class Reader(NamedTuple):
    """A socket that is read in rounds; `take` is the protocol's `data_received`."""

    transport: asyncio.Transport
    take: Callable[[bytes], None]


class Due:
    """A callback scheduled for a time (s) on the loop's clock."""

    __slots__ = ("_then", "_timer", "at")

    def __init__(self, at: float, then: Callable[[], object]) -> None:
        self.at = at
        self._then: Callable[[], object] | None = then
        self._timer: asyncio.TimerHandle | None = None

    def __lt__(self, other: Due) -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Do not call it."""
        self._then = None
        if self._timer is not None:
            self._timer.cancel()

    def leave_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule it on the loop itself, to the millisecond."""
        if self._then is not None:
            self._timer = loop.call_at(self.at, self.do)

    def do(self) -> None:
        """Call it, unless it was cancelled."""
        if self._then is not None:
            self._then()


class Rounds:
    """The sockets that can be read in rounds, and whether they are.

    The transport still owns the socket: it writes, closes and handles the end of the stream. Its reading is
    paused during rounds, and resumes for a socket that cannot be read here.

    Attributes:
        time: the loop's clock (s).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.time = loop.time
        self._readers: dict[int, Reader] = {}
        self._ready: select.epoll | None = None
        self._due: list[Due] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    @property
    def running(self) -> bool:
        """Whether sockets are read in rounds now."""
        return self._ready is not None

    def join(self, transport: asyncio.Transport, take: Callable[[bytes], None]) -> None:
        """Read this socket in rounds while there are many; does nothing where that is not possible."""
        if not hasattr(select, "epoll") or transport.get_extra_info("ssl_object") is not None:
            return  # not Linux, or the bytes on the socket are TLS records
        descriptor = _descriptor(transport)
        if descriptor < 0:
            return
        self._readers[descriptor] = reader = Reader(transport, take)
        if self._ready is not None:
            self._begin_reading(self._ready, descriptor, reader)
        elif len(self._readers) >= MANY:
            self._begin()

    def leave(self, transport: asyncio.Transport) -> None:
        """Let the transport read this socket itself again."""
        for descriptor, reader in self._readers.items():
            if reader.transport is transport:
                self._end_reading(descriptor, self._readers.pop(descriptor))
                break
        if len(self._readers) <= FEW:
            self._end()

    def call_at(self, at: float, then: Callable[[], object]) -> Due:
        """Call `then` at this time (s), or in the next round after it."""
        due = Due(at, then)
        if self._ready is None:
            due.leave_to(self._loop)
        else:
            heapq.heappush(self._due, due)
        return due

    # ------------------------------------------------------------ many, few

    def _begin(self) -> None:
        try:
            self._ready = ready = select.epoll()
        except OSError as error:  # no descriptors left: each transport reads by itself, as it does now
            logger.warning("sockets are not read in batches: %s", error.strerror)
            return
        for descriptor, reader in self._readers.items():
            self._begin_reading(ready, descriptor, reader)
        self._next = self.time()
        self._wait()

    def _end(self) -> None:
        if self._ready is None or self._timer is None:
            return
        for descriptor, reader in self._readers.items():
            self._end_reading(descriptor, reader)
        self._timer.cancel()
        self._ready.close()
        self._ready = None
        due, self._due = self._due, []
        for each in due:
            each.leave_to(self._loop)

    def _begin_reading(self, ready: select.epoll, descriptor: int, reader: Reader) -> None:
        reader.transport.pause_reading()
        ready.register(descriptor, select.EPOLLIN)

    def _end_reading(self, descriptor: int, reader: Reader) -> None:
        if self._ready is None:
            return
        with contextlib.suppress(OSError):  # it is closed, and epoll has dropped it already
            self._ready.unregister(descriptor)
        if not reader.transport.is_closing():
            reader.transport.resume_reading()

    # ------------------------------------------------------------ a round

    def _wait(self) -> None:
        now = self.time()
        self._next = max(self._next + EVERY_S, now)
        self._timer = self._loop.call_at(self._next, self._round)

    def _round(self) -> None:
        assert self._ready is not None
        for descriptor, _ in self._ready.poll(0, len(self._readers)):
            reader = self._readers.get(descriptor)
            if reader is not None:  # else it left during this round
                self._read(descriptor, reader)
        now = self.time()
        while self._due and self._due[0].at <= now:
            self._guarded(heapq.heappop(self._due).do, "a scheduled callback failed")
        if self._ready is not None:
            self._wait()

    def _read(self, descriptor: int, reader: Reader) -> None:
        try:
            data = os.read(descriptor, MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.leave(reader.transport)  # the transport then reads the end of the stream and reports it
            return
        if not self._guarded(partial(reader.take, data), "a connection failed on data it received"):
            reader.transport.abort()

    def _guarded(self, work: Callable[[], object], problem: str) -> bool:
        """Run `work`; an exception goes to the loop's exception handler and stops nothing else."""
        try:
            work()
        except Exception as error:
            self._loop.call_exception_handler({"message": problem, "exception": error})
            return False
        return True


def _descriptor(transport: asyncio.Transport) -> int:
    socket = transport.get_extra_info("socket")
    return -1 if socket is None else int(socket.fileno())
