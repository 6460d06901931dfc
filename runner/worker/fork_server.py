"""The process that workers are forked from: all that is heavy has been imported, but no bot.

    python -m runner.worker.fork_server CONTROL LIFE LISTENER [PUBLIC]     (numbers of open files)

Its parent writes one line of names of modules to import, later one to import more, and one line for each
worker, along with the worker's end of its channel. It tells {"forked": worker, "pid": …} and
{"ended": pid, "status": …}.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runner.worker import gc_control as garbage

LINE_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1
_GRACE_S = 14.0


@dataclass(frozen=True)
class Birth:
    """What a worker is born with. `public` is the port where a tunnel ends, if there is one."""

    job: dict[str, Any]
    channel: socket.socket
    listener: socket.socket
    public: socket.socket | None = None


def main(args: Sequence[str]) -> int:
    """Returns in each worker as well, when that one is done."""
    control_fd, life_fd, *listener_fds = map(int, args)
    control = socket.socket(fileno=control_fd)
    listeners = [socket.socket(fileno=fd) for fd in listener_fds]
    end_with_parent(signal.SIGKILL)
    # Ctrl-C at the terminal reaches all its processes, a service manager's SIGTERM all of its group; only the
    # supervisor acts on it. Not SIG_IGN, which programs that the bot starts would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    garbage.pause()  # until a worker is ready
    born = _tend(control, wake)
    if born is None:
        return 0
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for fd in (wake, waker):
        os.close(fd)
    control.close()
    end_with_parent(signal.SIGTERM)
    threading.Thread(target=_end_with_supervisor, args=(life_fd,), name="life", daemon=True).start()
    status = _live(Birth(*born, *listeners))
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Libraries that started threads in the nursery would, at an ordinary end, wait for them here, where they
    # never were (onnxruntime: std::system_error).
    os._exit(status)


def _live(birth: Birth) -> int:
    """Returns the exit status."""
    if birth.job.get("keeps"):
        from runner.worker.public_keeper import run_keeper

        return run_keeper(birth)
    from runner.worker.supervised import run_supervised

    return run_supervised(birth)


def _tend(control: socket.socket, wake: int) -> tuple[dict[str, Any], socket.socket] | None:
    """Fork a worker for each line; None at the end, in a worker its job and its channel."""
    control.setblocking(False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    buffer, fds = b"", list[int]()
    while True:
        poll.poll()
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        _reap(lambda told: _tell(control, told))
        try:
            data, more, _, _ = socket.recv_fds(control, LINE_BYTES, 1)
        except BlockingIOError:
            continue
        if not data:
            return None
        buffer, fds = buffer + data, fds + list(more)
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            order = json.loads(line)
            if "modules" in order:
                _import(order["modules"])
                continue
            if "later" in order:
                _import_later()
                continue
            channel = socket.socket(fileno=fds.pop(0))
            pid = os.fork()
            if pid == 0:
                return order, channel
            channel.close()
            _tell(control, {"forked": order["worker"], "pid": pid})


def _import(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):  # the worker will say so, with where it is needed
            importlib.import_module(name)


def _import_later() -> None:
    from runner.worker.preimport import LATER

    for module, names in LATER.items():
        if module in sys.modules:
            _import(names)


def _reap(tell: Callable[[dict[str, Any]], None]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            tell({"ended": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        control.sendall(json.dumps(message).encode() + b"\n")


def end_with_parent(number: signal.Signals) -> None:
    """Linux: when the parent is gone, this process gets a signal (prctl(2))."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _end_with_supervisor(life_fd: int) -> None:
    """The pipe's other end is held by the supervisor alone: its end is ours, even if it was killed."""
    with contextlib.suppress(OSError):
        os.read(life_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
