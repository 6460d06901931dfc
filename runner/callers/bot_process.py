"""Starts botrun for one call, waits until it is ready, and stops it with the call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from runner.errors import BotrunError, UsageError
from runner.eventloop.waiting import first_of
from runner.settings import child_environment

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 2.5
"""botrun ends within 1.5 s of the signal."""

_SOCKET_ROW = re.compile(r"^socket\s+(ws://\S+)")
_PAGE_ROW = re.compile(r"^talk\s+(http://\S+)")
_BANNER_ROWS = (
    "bot", "transports", "talk", "mobile", "socket", "calls", "ring", "webhook", "settings", "keys found",
    "key missing", "",
)  # fmt: skip
_BANNER_ROW = re.compile("|".join(rf"{name:<12}\S" for name in _BANNER_ROWS))
"""botrun's own lines on stdout (`cli/banner.py`) come once, in one block. All others are the bot's."""

_JOINED_ROW = re.compile(r"(.+)(bot {9}\S.*\(\))")
"""The banner's first row, after output of the bot without a line end."""

_LAST_LINES = 20
_READ_BYTES = 65536
LONGEST_LINE = 1 << 20
"""Maximum length (bytes) of output without a line end; longer output is split."""

EVERY_LINE = re.compile("")
WARNINGS = re.compile(r"\d\d:\d\d:\d\d (warning|error|critical) ")
"""Lines of the bot's log to show."""


class BotStartError(BotrunError):
    """The bot did not start; the message is the last error that it logged."""


class BotProcess:
    """`botrun FILE -t PROVIDER --port 0` as a child process.

    Args:
        file: the bot.
        provider: its transport.
        body: the bot's `body`.
        shown: lines of its log to print to stderr.
        printed: called with each line that the bot prints.
        reload: whether it reloads saved code; without, it is one process.
        environment: variables on top of this process's.

    Attributes:
        url: URL of its media socket (for WebRTC, of its page), once it is ready.
        pid: its process id, once it has started.
        log: the last lines of its log.
    """

    def __init__(
        self,
        file: str,
        provider: str,
        *,
        body: str | None = None,
        shown: re.Pattern[str] | None = None,
        printed: Callable[[str], None] | None = None,
        reload: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # -u: unbuffered, so that the bot's output appears at once.
        self._command = [
            sys.executable,
            "-u",
            "-P",
            "-m",
            "runner.cli",
            "run",
            file,
            "-t",
            provider,
            "--port",
            "0",
        ]
        self._command += ["--body", body] if body else []
        self._command += [] if reload else ["--no-reload"]
        self._environment = dict(environment or {})
        self._shown = shown
        self._printed = printed
        self._ready = asyncio.Event()
        self._banner_begun = self._banner_over = False
        self._row = _PAGE_ROW if provider == "webrtc" else _SOCKET_ROW
        self.url = ""
        self.pid: int | None = None
        self.log: deque[str] = deque(maxlen=_LAST_LINES)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[BotProcess]:
        """Start the bot, wait until it takes calls, and stop it on exit."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment({"BOTRUN_LOG": "text", "BOTRUN_HTTPS": "0", **self._environment}),
            # Ctrl-C must reach only the phone, which hangs up and then stops the bot.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        self.pid = process.pid
        reading = [
            asyncio.create_task(self._read_output(process), name="bot's output"),
            asyncio.create_task(self._read_log(process), name="bot's log"),
        ]
        try:
            await self._wait_until_ready(process, reading)
            yield self
        finally:
            await _stop(process)
            # A child process of the bot may keep the pipes open.
            await asyncio.wait(reading, timeout=STOP_TIMEOUT_S)
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _wait_until_ready(
        self, process: asyncio.subprocess.Process, reading: list[asyncio.Task[None]]
    ) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await first_of(self._ready.wait(), process.wait())
        except TimeoutError:
            raise BotStartError(f"the bot was not ready after {READY_TIMEOUT_S:g} s") from None
        if not self._ready.is_set():
            await asyncio.wait(reading, timeout=STOP_TIMEOUT_S)
            raise _failure(process.returncode, list(self.log))

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in lines_of(process.stdout):
            joined = None if self._banner_begun else _JOINED_ROW.fullmatch(line)
            for text in joined.groups() if joined else [line]:
                self._take_output(text)

    def _take_output(self, text: str) -> None:
        if self._is_banner(text):
            if found := self._row.match(text):
                self.url = found[1]
                self._ready.set()
        elif self._printed is not None:
            self._printed(text)

    def _is_banner(self, text: str) -> bool:
        is_row = not self._banner_over and _BANNER_ROW.match(text) is not None
        self._banner_over = self._banner_over or (self._banner_begun and not is_row)
        self._banner_begun = self._banner_begun or is_row
        return is_row

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for text in lines_of(process.stderr):
            self.log.append(text)
            if self._shown is not None and self._shown.match(text):
                print(text, file=sys.stderr)


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The stream's lines as they arrive, without line ends; includes an unterminated last line."""
    rest = b""
    while chunk := await stream.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


def _failure(status: int | None, log: list[str]) -> BotrunError:
    errors = [line.removeprefix("botrun: ") for line in log if line.startswith("botrun: ")]
    sentence = errors[-1] if errors else f"the bot ended with status {status} before it was ready"
    return UsageError(sentence) if status == 2 else BotStartError(sentence)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        # Not `send_signal`: it polls the process first, and so may reap it before asyncio does, which then
        # logs "Unknown child process pid".
        os.kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def die_with_parent() -> None:
    """Linux: let the bot be terminated if its parent is killed (prctl(2), PR_SET_PDEATHSIG is 1)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
