"""Start a botrun for one call, wait until it is ready, and end it with the call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator

from runner.errors import BotrunError, UsageError
from runner.settings import child_environment

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 2.5
"""botrun ends within 1.5 s of its signal."""

_SOCKET_ROW = re.compile(r"^socket\s+(ws://\S+)")
_PAGE_ROW = re.compile(r"^talk\s+(http://\S+)")
_LAST_LINES = 20

EVERY_LINE = re.compile("")
WARNINGS = re.compile(r"\d\d:\d\d:\d\d (warning|error|critical) ")
"""Which lines of the bot's log are shown."""


class BotStartError(BotrunError):
    """The bot did not start; the sentence is what it said last."""


class BotProcess:
    """`botrun FILE -t PROVIDER --port 0` as a child.

    Args:
        file: the bot.
        provider: its transport.
        body: what the bot finds in its `body`.
        shown: which lines of its log are shown here.
        reload: whether it takes over what is saved; without, it is one process.

    Attributes:
        url: of its media socket (for WebRTC, of its page), once it is ready.
        pid: of its process, while it runs.
        log: the last lines that it logged.
    """

    def __init__(
        self,
        file: str,
        provider: str,
        *,
        body: str | None = None,
        shown: re.Pattern[str] | None = None,
        reload: bool = True,
    ) -> None:
        self._command = [sys.executable, "-P", "-m", "runner.cli", "run", file, "-t", provider, "--port", "0"]
        self._command += ["--body", body] if body else []
        self._command += [] if reload else ["--no-reload"]
        self._shown = shown
        self._row = _PAGE_ROW if provider == "webrtc" else _SOCKET_ROW
        self.url = ""
        self.pid: int | None = None
        self.log: deque[str] = deque(maxlen=_LAST_LINES)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[BotProcess]:
        """Runs from when it takes calls until it is left."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment({"BOTRUN_LOG": "text", "BOTRUN_HTTPS": "0"}),
            # Ctrl-C is for the phone: it hangs up, and then ends the bot.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
        self.pid = process.pid
        logging = asyncio.create_task(self._read_log(process), name="bot's log")
        try:
            await self._wait_until_ready(process, logging)
            draining = asyncio.create_task(_drain(process), name="bot's output")
            try:
                yield self
            finally:
                draining.cancel()
                await asyncio.gather(draining, return_exceptions=True)
        finally:
            await _stop(process)
            await asyncio.wait([logging], timeout=STOP_TIMEOUT_S)
            logging.cancel()

    async def _wait_until_ready(self, process: asyncio.subprocess.Process, log: asyncio.Task[None]) -> None:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                async for line in process.stdout:
                    if found := self._row.match(line.decode(errors="replace")):
                        self.url = found[1]
                        return
        except TimeoutError:
            raise BotStartError(f"the bot was not ready after {READY_TIMEOUT_S:g} s") from None
        await asyncio.wait([log], timeout=STOP_TIMEOUT_S)
        await process.wait()
        raise _failure(process.returncode, list(self.log))

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.log.append(text)
            if self._shown is not None and self._shown.match(text):
                print(text, file=sys.stderr)


def _failure(status: int | None, log: list[str]) -> BotrunError:
    errors = [line.removeprefix("botrun: ") for line in log if line.startswith("botrun: ")]
    sentence = errors[-1] if errors else f"the bot ended with status {status} before it was ready"
    return UsageError(sentence) if status == 2 else BotStartError(sentence)


async def _drain(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        # Not `send_signal`, which looks first whether it has ended, and so may take its status from asyncio,
        # which then complains of an "Unknown child process pid".
        os.kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def die_with_parent() -> None:
    """Linux: a phone that is killed takes its bot along (prctl(2), PR_SET_PDEATHSIG is 1)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
