"""Shutdown: Ctrl-C or SIGTERM ends everything within a deadline, a second one immediately.

The first signal sets an event and wakes a watchdog thread. If the process still runs `DEADLINE_S` later
because a bot swallows its cancellation, blocks the loop or holds a thread, the watchdog kills it. It is a
thread, not a task, because the loop may be what hangs. It is woken through a pipe, because a signal handler
must not take locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

DEADLINE_S = 1.5
SECOND_SIGNAL_STATUS = 130

END_AT_ONCE = signal.SIGUSR2
"""Kills a worker that is already shutting down. A second SIGTERM would be ambiguous: a service manager may
have sent the first to all processes."""

_STOP = b"s"
_LEAVE = b"l"


class Shutdown:
    """Turns signals into an event of the loop in which `capture` was entered. `deadline_s` can be raised."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.deadline_s = DEADLINE_S
        self._signals = 0
        self._terminal = _terminal_state()

    @contextlib.contextmanager
    def capture(
        self,
        signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM),
        at_once: signal.Signals | None = None,
    ) -> Iterator[None]:
        """Handle these signals. After a signal, the watchdog keeps running until the process ends.

        `at_once` is a signal that kills the process at once. With it, further signals of the other kinds are
        ignored: one may come from the service manager and one from the parent.
        """
        reader, self._writer = os.pipe()
        self._loop = asyncio.get_running_loop()
        watchdog = threading.Thread(target=self._watch, args=(reader,), name="shutdown watchdog", daemon=True)
        watchdog.start()
        self._at_once = at_once
        owned = [*signals, *([at_once] if at_once else [])]
        before = {number: signal.signal(number, self._handle) for number in owned}
        try:
            yield
        finally:
            _restore_terminal(self._terminal)
            if not self._signals:
                for number, handler in before.items():
                    signal.signal(number, handler)
                os.write(self._writer, _LEAVE)
                watchdog.join()
                os.close(self._writer)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1 if self._at_once is None else number == self._at_once:
            self._end_now(SECOND_SIGNAL_STATUS)
        if self._signals > 1:
            return
        os.write(self._writer, _STOP)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self.requested.set)

    def _watch(self, reader: int) -> None:
        order = os.read(reader, 1)
        os.close(reader)
        if order == _STOP:
            threading.Event().wait(self.deadline_s)
            killed = ", ".join(_still_running())
            os.write(2, f"botrun: shutdown timed out; killed what was still running: {killed}\n".encode())
            self._end_now(0)

    def _end_now(self, status: int) -> None:
        _restore_terminal(self._terminal)
        for child in _children():
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)
        os._exit(status)


def _still_running() -> list[str]:
    """Names of the threads and child processes that keep the process alive."""
    me = threading.current_thread()
    threads = [one for one in threading.enumerate() if one is not me and not one.daemon]
    return [
        *(f"thread {one.name}" for one in threads),
        *(f"child process {pid}" for pid in _children()),
    ]


def _children() -> list[int]:
    """Child processes (Linux only; elsewhere they end when their pipe is closed)."""
    found: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    return found


def _terminal_state() -> list[object] | None:
    with contextlib.suppress(Exception):  # no terminal, or no termios on this system
        import termios

        return termios.tcgetattr(sys.stdin.fileno())
    return None


def _restore_terminal(state: list[object] | None) -> None:
    with contextlib.suppress(Exception):
        import termios

        if state is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, state)  # type: ignore[arg-type]
