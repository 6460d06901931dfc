"""botrun's side of a helper process: starts it, exchanges messages, detects its end, stops it.

Processes are needed because pocketsphinx holds the GIL while it decodes, and because espeak-ng (GPL-3) is
loaded only in a separate program.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import runner
from runner.errors import ProtocolError, ServiceError
from runner.services.local.helpers import Header, Message, MessageReader, encode

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 0.5
_READ_BYTES = 65536
_STDERR_LINES = 5


class HelperProcess:
    """One helper process, from `start` to its end.

    Args:
        module: the module to run (`python -m module`).
        what: its name in messages, such as "the voice".
        on_message: called with each message after the first, which reports that it is ready.
        on_end: called once, with a sentence, if it ends unexpectedly.
        arguments: its command-line arguments.
        start_timeout_s: time (s) for it to become ready.
    """

    def __init__(
        self,
        module: str,
        what: str,
        on_message: Callable[[Message], None],
        on_end: Callable[[str], None],
        arguments: Sequence[str] = (),
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._module = module
        self._what = what
        self._on_message = on_message
        self._on_end = on_end
        self._arguments = arguments
        self._start_timeout_s = start_timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._ready: asyncio.Future[Header] | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether messages can be sent to it."""
        return self._process is not None and self._process.returncode is None and not self._stopping

    async def start(self) -> Header:
        """Start it; returns the header of its first message, sent when it is ready."""
        self._ready = asyncio.get_running_loop().create_future()
        try:
            self._process = process = await self._spawn()
        except OSError as error:
            raise ServiceError(f"the helper process of {self._what} cannot be started: {error}") from error
        self._tasks = [
            asyncio.create_task(self._read(process), name=f"{self._what}: read"),
            asyncio.create_task(self._read_stderr(process), name=f"{self._what}: stderr"),
        ]
        try:
            async with asyncio.timeout(self._start_timeout_s):
                return await self._ready
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                sentence = (
                    f"the helper process of {self._what} was not ready after {self._start_timeout_s:g} s"
                )
                raise ServiceError(sentence) from None
            raise

    async def _spawn(self) -> asyncio.subprocess.Process:
        # `-m` makes the working folder importable: the parent folder of this package. In its own session,
        # Ctrl-C at the terminal does not reach the helper even before it ignores SIGINT.
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=Path(runner.__file__).parents[1],
            start_new_session=True,
        )  # fmt: skip

    def send(self, header: Header, payload: bytes = b"") -> None:
        """Send a message. If the helper has ended, the message is dropped (`on_end` reports the end)."""
        if self.alive and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(encode(header, payload))

    async def stop(self) -> None:
        """Close its stdin, and kill it if it does not end in time."""
        self._stopping = True
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        reader = MessageReader()
        try:
            while data := await process.stdout.read(_READ_BYTES):
                for message in reader.feed(data):
                    self._dispatch(message)
        except ProtocolError as error:
            logger.warning("%s: %s", self._what, error)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        await self._ended(process)

    def _dispatch(self, message: Message) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(message.header)
        else:
            self._on_message(message)

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        await asyncio.wait(self._tasks[1:], timeout=STOP_TIMEOUT_S)  # for its last output on stderr
        sentence = f"the helper process of {self._what} {_how_it_ended(process.returncode)}"
        if self._stderr:
            sentence += f" ({self._stderr[-1]})"
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ServiceError(sentence))
        elif not self._stopping:
            self._on_end(sentence)

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._stderr.append(text)
                logger.debug("%s: %s", self._what, text)


def _how_it_ended(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with status {returncode}"


class Startable(Protocol):
    """An object that `Shared` can start and stop."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...


T = TypeVar("T", bound=Startable)


class Shared(Generic[T]):
    """Creates one object on the first `get`, and a new one after `stop` or on another event loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The object, started. If its start fails this raises, and the next `get` tries again."""
        loop = asyncio.get_running_loop()
        if self._started is None or self._loop is not loop or _failed(self._started):
            self._loop = loop
            self._started = loop.create_task(self._start(), name="start a local service")
        return await asyncio.shield(self._started)

    async def start(self) -> None:
        """Start the object; for `warmup.register`."""
        await self.get()

    async def stop(self) -> None:
        """Stop it; a later `get` creates another."""
        started, self._started = self._started, None
        if started is None or self._loop is not asyncio.get_running_loop():
            return
        await asyncio.wait([started])
        if not _failed(started):
            await started.result().stop()

    async def _start(self) -> T:
        made = self._make()
        await made.start()
        return made


def _failed(task: asyncio.Task[T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
