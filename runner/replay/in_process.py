"""Calls a bot inside this process, in virtual time: a minute of talk takes about a second.

Nothing waits for the network or the clock, so that a call with recorded services ends the same way every
time. The bot's own code runs as ever; what it does in threads or over the network takes no virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from runner.botcode.loader import LoadedBot
from runner.callers.memory_socket import dial
from runner.records.writer import CallRecord, RecordWriter
from runner.server.app import create_app
from runner.server.host import Host
from runner.sessions.recording import Recorder
from runner.sessions.registry import SessionLimits, Sessions
from runner.settings import Settings

URL = "ws://127.0.0.1:7860/ws"
FLUSH_S = 2.0
"""The record is written this often (s of virtual time), before the tape is full."""

END_S = 3.0

Connect = Callable[[str], Awaitable[Any]]


class _Writer(RecordWriter):
    """Writes on the event loop, in its time: a thread would come too late for a call that takes a second."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written: list[CallRecord] = []
        self._writing: list[asyncio.Task[None]] = []

    def add(self, record: CallRecord) -> None:
        self.written.append(record)
        self._writing.append(asyncio.create_task(self._write(record), name="record"))

    def close(self, timeout_s: float = 1.0) -> None:
        for record in self.written:
            record.flush()
            record.close()
        self.written.clear()

    async def _write(self, record: CallRecord) -> None:
        while not record.flush():
            await asyncio.sleep(FLUSH_S)
        self.written.remove(record)

    async def stop(self) -> None:
        """No more is written."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)


@contextlib.asynccontextmanager
async def served(bot: LoadedBot, folder: Path, settings: Settings | None = None) -> AsyncIterator[Connect]:
    """The bot, served to phones of this process; its calls are recorded in this folder. Gives what connects
    a phone to it."""
    recorder, chosen = Recorder(folder, bot.path, bot.function_name), settings or Settings(idle_secs=0)
    writer = recorder.writer = _Writer(folder)
    sessions = Sessions(bot, SessionLimits(), recorder)
    host = Host(chosen, bot, sessions, ("twilio", "telnyx", "plivo", "exotel"))
    try:
        yield dial(create_app(host))
    finally:
        await sessions.shut_down(END_S)
        await writer.stop()
