"""What the reload tests share: a bot in a folder of its own, run by a botrun that watches it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from eventually import eventually

BOT = Path(__file__).parents[1] / "assets" / "reload_bot.py"
READY_S = 30.0


class Saved:
    """A botrun whose bot can be edited. `output`: all that it printed and logged."""

    def __init__(self, process: asyncio.subprocess.Process, bot: Path) -> None:
        self.process = process
        self.bot = bot
        self.output = ""
        self._saves = 0

    @property
    def address(self) -> str:
        found = re.search(r"talk\s+(http://\S+)", self.output)
        assert found, self.output
        return found[1].rstrip("/")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def edit(self, old: str, new: str) -> None:
        """As an editor does it: a new file takes the old one's name."""
        text = self.bot.read_text()
        assert old in text
        self.write(text.replace(old, new))

    def write(self, text: str) -> None:
        self._saves += 1
        fresh = self.bot.with_name(f".{self.bot.name}.swp{self._saves}")
        fresh.write_text(text)
        fresh.rename(self.bot)

    async def until(self, pattern: str, times: int = 1) -> None:
        """Wait until this was printed or logged so often."""

        def printed() -> bool:
            found = len(re.findall(pattern, self.output)) >= times
            assert found or self.process.returncode is None, self.output
            return found

        await eventually(printed, READY_S, what=lambda: f"printed: {pattern}\n{self.output}")

    async def reloaded(self, times: int) -> None:
        await self.until("the new code answers", times)

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (line := await stream.readline()):
            self.output += line.decode(errors="replace")


@contextlib.asynccontextmanager
async def saving(
    folder: Path, *more: str, bot: Path = BOT, name: str = "bot.py", **env: str
) -> AsyncIterator[Saved]:
    """Runs it for the length of the block; then nothing of it may be left."""
    copy = folder / name
    copy.write_text(bot.read_text())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "runner.cli", str(copy), "--port", "0", *more,
        env={**os.environ, "BOTRUN_RELOAD": "1", "BOTRUN_LOG": "text", "BOTRUN_RELOAD_SECS": "5", **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    saved = Saved(process, copy)
    readers = [asyncio.create_task(saved.read(stream)) for stream in (process.stdout, process.stderr)]
    family: list[psutil.Process] = []
    try:
        await saved.until(r"talk\s")
        family = saved.processes()
        yield saved
        with contextlib.suppress(psutil.NoSuchProcess):  # the test has ended it
            family += saved.processes()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(10):
            await process.wait()
            await asyncio.gather(*readers)
        for orphan in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                assert orphan.status() == psutil.STATUS_ZOMBIE, f"left behind: {orphan}"
