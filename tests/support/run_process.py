"""botrun in a process of its own, with a public address that is this machine's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from eventually import eventually
from free_port import free_port
from provider_server import API, ProviderServer
from public_world import CALLED, KEYS

BOT = Path(__file__).with_name("answering_bot.py")
READY_S = 40.0


@dataclass
class Run:
    """A botrun that takes calls. `output`: all that it printed and logged."""

    process: asyncio.subprocess.Process
    port: int
    public_port: int
    folder: Path
    output: str = ""
    readers: list[asyncio.Task[None]] = field(default_factory=list)
    bot: Path = BOT

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.public_port}"

    async def end(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for its end; returns the exit status."""
        async with asyncio.timeout(15):
            status = await self.process.wait()
            await asyncio.gather(*self.readers)
        return status

    async def crash(self) -> None:
        """All its processes at once, as when the power fails."""
        family = self.family()
        for process in (*family, psutil.Process(self.process.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await self.end(signal.SIGKILL)
        psutil.wait_procs(family, 5)

    def family(self) -> list[psutil.Process]:
        """The processes that it started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def save(self, old: str, new: str) -> None:
        """Edit the bot, as an editor does it: a new file takes the old one's name."""
        text = self.bot.read_text()
        assert old in text
        fresh = self.bot.with_name(f".{self.bot.name}.swp")
        fresh.write_text(text.replace(old, new))
        fresh.rename(self.bot)

    async def reloaded(self, times: int) -> None:
        await self.ready("the new code answers", times)

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (line := await stream.readline()):
            self.output += line.decode(errors="replace")

    async def ready(self, word: str, times: int = 1) -> None:
        """Wait until this was printed or logged so often."""
        missing = lambda: f"never printed: {word}\n{self.output}"  # noqa: E731
        over = lambda: self.process.returncode is not None  # noqa: E731
        await eventually(lambda: self.output.count(word) >= times or over(), READY_S, what=missing)
        assert self.output.count(word) >= times, missing()


@contextlib.asynccontextmanager
async def running(
    provider: str,
    server: ProviderServer,
    folder: Path,
    *more: str,
    then: str = "hang up",
    bot: Path = BOT,
    way: Sequence[str] = (),
    verb: str = "run",
    **env: str,
) -> AsyncIterator[Run]:
    """`botrun` for that provider; its number is set where the provider lets it be. `way` leads there: else a
    proxy does, which is the port itself. `verb`: "serve" for `botrun serve`."""
    port, public_port = free_port(), free_port()
    number = () if provider == "exotel" else ("--number", CALLED)
    arguments = [
        sys.executable, "-m", "runner.cli", verb, str(bot), "-t", provider, "--port", str(port), *number,
        *(way or ("--proxy", f"http://127.0.0.1:{public_port}")), "--public-port", str(public_port),
        "--body", json.dumps({"then": then}), *more,
    ]  # fmt: skip
    environment = {
        **os.environ,
        **KEYS,
        "BOTRUN_PROVIDER_API": server.url + API[provider],
        "BOTRUN_STATE_DIR": str(folder / "state"),
        "BOTRUN_RELOAD": "1",
        **env,
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=pipe, stderr=pipe, env=environment, cwd=folder
    )
    run = Run(process, port, public_port, folder, bot=bot)
    run.readers = [asyncio.create_task(run.read(s)) for s in (process.stdout, process.stderr)]
    try:
        await run.ready("ring  " if number else "webhook")
        yield run
    finally:
        if process.returncode is None:
            await run.crash()
        await process.wait()
        await asyncio.gather(*run.readers)


async def command(run: Run, *words: str, **env: str) -> tuple[int, str]:
    """Another botrun command on the same machine: status, and what it printed."""
    environment: dict[str, Any] = {**os.environ, "BOTRUN_STATE_DIR": str(run.folder / "state"), **env}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runner.cli", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=run.folder,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    return int(process.returncode or 0), out.decode()
