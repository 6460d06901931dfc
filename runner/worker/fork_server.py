"""The process that workers are forked from. It imports everything heavy, but no bot.

    CONTROL LIFE WRITES LISTENER [PUBLIC]     (its arguments: file descriptors)

The program is `cli/fork_server.py`. Messages on CONTROL: `worker/messages.py`. LIFE is a pipe whose other end
only the supervisor has open; WRITES is described in `worker/messages.py`.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import importlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import assert_never

from runner.eventloop.json_channel import LineWriter
from runner.integrations.pipecat import loading
from runner.worker import pause_gc
from runner.worker.encoding import (
    MessageError,
    decode,
    encode,
)
from runner.worker.messages import (
    Ended,
    Fork,
    Forked,
    ImportLater,
    ImportModules,
    KeeperJob,
    RunActions,
    ToForkServer,
    WorkerSpec,
)

logger = logging.getLogger(__name__)

LINE_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1
_GRACE_S = 14.0

# ------------------------------------------------------------------ what to import

SERVER = (
    "numpy",
    "runner",
    "runner.server.app",
    "runner.server.wire.uvicorn_server",
    "runner.server.public.public_side",
    "runner.worker.supervised",
    "runner.server.handover.other_workers",
    "runner.server.forwarding",
    "uvloop",
)
OF_TRANSPORT = {
    "webrtc": (
        "aiortc",
        "runner.server.endpoints.api",
        "runner.server.endpoints.webrtc",
        "runner.transports.webrtc.peer",
        "runner.transports.webrtc.camera",
    ),
    "daily": ("runner.server.daily.rooms",),
}
PHONES = (
    "runner.server.endpoints.media_socket",
    "runner.transports.websocket",
)
HTTP_CLIENT = ("httpx2", "httpcore2", "truststore", "anyio._backends._asyncio")
# With what hangs up calls: the first hang-up would import it while other calls go on.
PUBLIC = ("runner.worker.public_keeper", "runner.server.public.endpoints", *HTTP_CLIENT)

OF_MODULE = {
    "runner.vad": ("onnxruntime", "runner.vad.network", "runner.vad.silero"),
    # Without modules that register something to be started, which an edited bot may not need.
    "runner.services.local": tuple(
        f"runner.services.local.{name}" for name in ("ears", "voice", "understanding", "dialogue")
    ),
}
OF_TOOLS = (
    *(f"pydantic.{name}" for name in ("type_adapter", "fields", "types", "dataclasses")),
    "runner.services.tools.signature",
)
TOOL_NAMES = frozenset(("register_function", "register_direct_function", "tool", "tools"))
"""How a bot gives tools to a model. Its first call would import pydantic on the event loop (0.2 s)."""
LATER = {"runner.services.common.service_http": HTTP_CLIENT}
"""What these modules load before the first call, if they are imported. The fork server imports it once the
first worker accepts calls, so it delays neither the start nor a reload."""


def modules_for(bot: Path, transports: Sequence[str], *, is_public: bool = False) -> list[str]:
    """Modules of botrun that this bot needs, and those that they load later."""
    try:
        tree = ast.parse(bot.read_bytes())
    except (OSError, SyntaxError, ValueError):
        tree = ast.Module([], [])
    named = list(_imported(tree))
    more = [name for transport in transports for name in OF_TRANSPORT.get(transport, PHONES)]
    more += PUBLIC if is_public else ()
    more += OF_TOOLS if _has_tools(tree) else ()
    more += [loaded for name in named for loaded in OF_MODULE.get(name, ())]
    more += loading.modules_of(bot, transports)
    return list(dict.fromkeys([*SERVER, "runner.transports.create", *named, *more]))


def _has_tools(tree: ast.Module) -> bool:
    names = (
        getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "arg", None)
        for node in ast.walk(tree)
    )
    return any(name in TOOL_NAMES for name in names)


def _imported(tree: ast.Module) -> Iterator[str]:
    """The `runner…` modules that the file imports at its top level."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "runner")


# ------------------------------------------------------------------ the process


def main(args: Sequence[str], actions: RunActions) -> int:
    """Run the fork server. Also returns in each forked worker when it is done. `actions`: what workers do for
    the terminal."""
    control_fd, life_fd, writes_fd, *listener_fds = map(int, args)
    control = socket.socket(fileno=control_fd)
    listeners = [socket.socket(fileno=fd) for fd in listener_fds]
    end_with_parent(signal.SIGKILL)
    # Ctrl-C reaches all processes of the terminal, and a service manager's SIGTERM the whole group; only the
    # supervisor acts on them. Not SIG_IGN, which programs started by the bot would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    wake, waker = os.pipe()
    for fd in (wake, waker):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pause_gc()  # until a worker is ready
    forked = ForkServer(control, wake, actions.prepare).run()
    if forked is None:
        return 0
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for fd in (wake, waker):
        os.close(fd)
    control.close()
    end_with_parent(signal.SIGTERM)
    threading.Thread(target=_end_with_supervisor, args=(life_fd,), name="life", daemon=True).start()
    order, channel = forked
    status = _run(WorkerSpec(
        id=order.worker, job=order.job, channel=channel, listener=listeners[0],
        public=listeners[1] if len(listeners) > 1 else None, writes=writes_fd, actions=actions,
    ))  # fmt: skip
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # On a normal exit, libraries that started threads in the fork server would wait for them here, where they
    # do not exist (onnxruntime: std::system_error).
    os._exit(status)


def _run(spec: WorkerSpec) -> int:
    """Returns the exit status."""
    if isinstance(spec.job, KeeperJob):
        from runner.worker.public_keeper import run_keeper

        return run_keeper(spec, spec.job)
    from runner.worker.supervised import run_supervised

    if spec.job.pool is None:
        return run_supervised(spec, spec.job)
    from runner.worker.pooled import PooledWorker

    return run_supervised(spec, spec.job, PooledWorker)


class ForkServer:
    """Handles the supervisor's messages on `control`. `wake` is readable after a signal.

    `prepare` is called once, after the first import.
    """

    def __init__(self, control: socket.socket, wake: int, prepare: Callable[[], None]) -> None:
        control.setblocking(False)
        self._control = control
        self._wake = wake
        self._prepare: Callable[[], None] | None = prepare
        self._writer = LineWriter(control)
        self._buffer = b""
        self._files: list[int] = []

    def run(self) -> tuple[Fork, socket.socket] | None:
        """Returns None at the end; in a forked process, its order and its channel."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while True:
            poll.register(self._control, select.POLLIN | (select.POLLOUT if self._writer.pending else 0))
            poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
            with contextlib.suppress(OSError):
                self._writer.flush()
            self._reap()
            try:
                data, files, _, _ = socket.recv_fds(self._control, LINE_BYTES, 1)
            except BlockingIOError:
                continue
            if not data:
                return None
            self._buffer += data
            self._files += files
            if (forked := self._take_lines()) is not None:
                return forked

    def _take_lines(self) -> tuple[Fork, socket.socket] | None:
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            try:
                message: ToForkServer = decode(line, ToForkServer)
            except MessageError as error:
                logger.error("fork server: %s; botrun ignores it", error)
                continue
            match message:
                case ImportModules(modules=names):
                    import_all(names)
                    if self._prepare is not None:
                        self._prepare()
                        self._prepare = None
                case ImportLater():
                    import_later()
                case Fork():
                    channel = socket.socket(fileno=self._files.pop(0))
                    pid = os.fork()
                    if pid == 0:
                        self._writer.close()
                        return message, channel
                    channel.close()
                    self._send(Forked(worker=message.worker, pid=pid))
                case _:
                    assert_never(message)
        return None

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._send(Ended(pid=ended[0], status=os.waitstatus_to_exitcode(ended[1])))

    def _send(self, message: Forked | Ended) -> None:
        with contextlib.suppress(OSError):  # the supervisor is gone
            self._writer.send(encode(message))


def import_all(names: Sequence[str]) -> None:
    """Import these modules; skip those that cannot be imported."""
    other_framework = [name for name in names if loading.is_part(name)]
    for name in names:
        if name in other_framework:
            continue
        with contextlib.suppress(ImportError):  # the worker reports it, with the line that imports it
            importlib.import_module(name)
    if other_framework:
        loading.import_early(other_framework)


def import_later() -> None:
    """Import what the imported modules will load before the first call (`LATER`)."""
    for module, names in LATER.items():
        if module in sys.modules:
            import_all(names)


def end_with_parent(number: signal.Signals) -> None:
    """Linux: send this process a signal when its parent ends (prctl(2))."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _end_with_supervisor(life_fd: int) -> None:
    """End when the supervisor ends, even if it was killed: then the read returns."""
    with contextlib.suppress(OSError):
        os.read(life_fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(0)
