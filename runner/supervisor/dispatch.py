"""Accepts at the ports of `botrun serve`, and hands each connection to one worker.

Workers that share a listening socket share it badly: the first to wake takes all that waits. Here a
connection that begins a call goes to the worker with the fewest calls, any other to the next in turn; a
worker that is stuck gets none. What a connection wants is seen from its first bytes (MSG_PEEK), which the
worker reads again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ACCEPTS_AT_ONCE = 64
BACKLOG = 1024
PEEK_BYTES = 2048
DEFER_S = 5
"""How long (s) the kernel keeps a connection back on which nothing has come (tcp(7), TCP_DEFER_ACCEPT)."""

RECENT_S = 0.4
"""For so long (s) a call that was handed over counts beside those that its worker reports."""

RECENT_OF_SINGLE_S = 10.0
"""A provider may take this long (s) from the socket to its first message."""

WAIT_S = 5.0
"""How long (s) a call waits for a process of its own; then a worker that has others takes it."""

STUCK_S = 2.5
"""A worker that has not reported for so long (s) is stuck, and gets connections only if all are."""

TLS_HANDSHAKE = b"\x16"
_UPGRADE = re.compile(rb"\r\nupgrade:\s*websocket", re.IGNORECASE)
_BEGINS_CALL = re.compile(rb"POST /(?:api/offer|start)[ ?]")


def begins_call(head: bytes) -> bool:
    """Whether a connection that begins with these bytes may become a call. Under TLS that is not seen."""
    return head.startswith(TLS_HANDSHAKE) or bool(_UPGRADE.search(head) or _BEGINS_CALL.match(head))


@dataclass
class Seat:
    """A worker that takes connections.

    Attributes:
        calls: as it last reported, those that were announced included.
        most: the most calls that it takes; 0 is no limit.
        single: whether it is for one call: then it is given no second one.
        reported_at: when it last reported.
        handed: when it was given calls, of late.
        turn: grows with each connection that it was given.
    """

    worker: str
    end: socket.socket
    most: int = 0
    single: bool = False
    calls: int = 0
    reported_at: float = field(default_factory=time.monotonic)
    handed: deque[float] = field(default_factory=deque)
    turn: int = 0

    def load(self, now: float) -> int:
        """Its calls, with those that are on their way to it."""
        recent_s = RECENT_OF_SINGLE_S if self.single else RECENT_S
        while self.handed and self.handed[0] < now - recent_s:
            self.handed.popleft()
        return self.calls + len(self.handed)

    def is_stuck(self, now: float) -> bool:
        return now - self.reported_at > STUCK_S

    def is_full(self, now: float) -> bool:
        return bool(self.most) and self.load(now) >= self.most


def order_of(seats: Sequence[Seat], *, call: bool, now: float) -> list[Seat]:
    """The workers to offer a connection to, best first."""

    def rank(seat: Seat) -> tuple[bool, bool, bool, int, int]:
        calls = seat.load(now) if call else 0
        return (call != seat.single, seat.is_stuck(now), call and seat.is_full(now), calls, seat.turn)

    # A process for one call is given nothing else, and nothing more.
    usable = [seat for seat in seats if not seat.single or (call and not seat.is_full(now))]
    return sorted(usable, key=rank)


class Dispatcher:
    """Accepts on these listeners, by the byte that names each port, while at least one worker is seated.

    Args:
        listeners: bound sockets.
        path: of the Unix socket where workers fetch their connections.
        isolates: whether each call waits for a worker that is for one call.
    """

    def __init__(
        self, listeners: Mapping[bytes, socket.socket], path: Path, *, isolates: bool = False
    ) -> None:
        self._listeners = listeners
        self._isolates = isolates
        self._loop = asyncio.get_running_loop()
        self._seats: dict[str, Seat] = {}
        self._expected: dict[str, tuple[int, bool]] = {}
        self._waiting: deque[tuple[float, bytes, socket.socket]] = deque()
        self._is_open = False
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.setblocking(False)
        self._door.bind(str(path))
        self._door.listen(BACKLOG)
        self._loop.add_reader(self._door, self._seat_next)

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Workers that take connections, by id."""
        return self._seats

    @property
    def waiting(self) -> int:
        """Calls that wait for a process of their own."""
        return len(self._waiting)

    def expect(self, worker: str, most: int, *, single: bool = False) -> None:
        """This worker may come for connections; it takes at most so many calls, or a `single` one ever."""
        self._expected[worker] = most, single

    def report(self, worker: str, calls: int) -> None:
        """A worker has reported its calls."""
        if (seat := self._seats.get(worker)) is not None:
            seat.calls, seat.reported_at = calls, time.monotonic()

    def unseat(self, worker: str) -> None:
        """Give this worker no more; what it was given already it still takes."""
        self._expected.pop(worker, None)
        if (seat := self._seats.pop(worker, None)) is not None:
            seat.end.close()
        if not self._seats:
            self._stop()

    def close(self) -> None:
        self._stop()
        for _, _, connection in self._waiting:
            connection.close()
        for worker in list(self._seats):
            self.unseat(worker)
        self._loop.remove_reader(self._door)
        self._door.close()

    # ------------------------------------------------------------ workers

    def _seat_next(self) -> None:
        with contextlib.suppress(BlockingIOError):
            end, _ = self._door.accept()
            end.setblocking(False)
            self._loop.add_reader(end, self._seat, end)

    def _seat(self, end: socket.socket) -> None:
        """A worker has sent its id."""
        self._loop.remove_reader(end)
        try:
            worker = end.recv(64).decode()
        except OSError:
            worker = ""
        if worker not in self._expected:
            end.close()
            return
        most, single = self._expected.pop(worker)
        self._seats[worker] = Seat(worker, end, most, single)
        self._start()
        self._hand_waiting()

    def _start(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        for port, listener in self._listeners.items():
            listener.setblocking(False)
            if hasattr(socket, "TCP_DEFER_ACCEPT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
            listener.listen(BACKLOG)
            self._loop.add_reader(listener, self._accept, port, listener)

    def _stop(self) -> None:
        """Nobody takes connections: they wait in the listener's queue."""
        if self._is_open:
            self._is_open = False
            for listener in self._listeners.values():
                self._loop.remove_reader(listener)

    # ------------------------------------------------------------ connections

    def _accept(self, port: bytes, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except OSError:  # none waits, one is gone already, or too many files are open
                return
            connection.setblocking(False)
            try:
                head = connection.recv(PEEK_BYTES, socket.MSG_PEEK)
            except OSError:
                head = b""
            call = begins_call(head)
            if call and self._isolates and not self._has_free():
                self._waiting.append((time.monotonic(), port, connection))
                self._loop.call_later(WAIT_S, self._hand_waiting)
            else:
                self._hand_over(port, connection, call=call)

    def _has_free(self) -> bool:
        """Whether a worker waits for the one call that it is for."""
        now = time.monotonic()
        return any(seat.single and not seat.is_full(now) for seat in self._seats.values())

    def _hand_waiting(self) -> None:
        """A worker for one call is there, or a call has waited for too long."""
        while self._waiting:
            since, port, connection = self._waiting[0]
            if not self._has_free() and time.monotonic() - since < WAIT_S:
                return
            self._waiting.popleft()
            self._hand_over(port, connection, call=True)

    def _hand_over(self, port: bytes, connection: socket.socket, *, call: bool) -> None:
        now = time.monotonic()
        with connection:
            for seat in order_of(list(self._seats.values()), call=call, now=now):
                try:
                    socket.send_fds(seat.end, [port], [connection.fileno()])
                except OSError:  # it has died, or has not read for very long
                    continue
                seat.turn += 1
                if call:
                    seat.handed.append(now)
                return
