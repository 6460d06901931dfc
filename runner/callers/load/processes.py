"""The processes of callers: started together, told together, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any

from runner.callers.bot_process import die_with_parent
from runner.callers.load.plan import LoadPlan, WorkerPlan, shares
from runner.errors import BotrunError
from runner.settings import child_environment

PREPARED_WITHIN_S = 60.0
EXIT_WITHIN_S = 1.0

LINE_LIMIT_BYTES = 1 << 28
"""A result is one line."""


class LoadError(BotrunError):
    """The load could not be made."""


class Gang:
    """The processes of callers.

    Attributes:
        counts: of each: calls that stand, calls that failed.
        results: what each has measured, when it is over.
    """

    def __init__(self, plan: LoadPlan, url: str) -> None:
        self._plans = [
            WorkerPlan(
                transport=plan.transport,
                url=url,
                scenario=plan.scenario,
                numbers=numbers,
                calls=plan.calls,
                duration_s=plan.duration_s,
                ramp_s=plan.ramp_s,
                insecure=plan.insecure,
            )
            for numbers in shares(plan.calls, plan.procs)
        ]
        self._processes: list[asyncio.subprocess.Process] = []
        self.counts: list[tuple[int, int]] = [(0, 0)] * len(self._plans)
        self.results: list[dict[str, Any]] = []

    async def __aenter__(self) -> Gang:
        try:
            for plan in self._plans:
                self._processes.append(await _start(plan))
            async with asyncio.timeout(PREPARED_WITHIN_S):
                for process in self._processes:
                    await self._read(process, "ready")
        except TimeoutError:
            await self._end()
            raise LoadError(f"the callers were not ready within {PREPARED_WITHIN_S:g} s") from None
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._end()

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    @property
    def up(self) -> int:
        return sum(up for up, _ in self.counts)

    @property
    def failed(self) -> int:
        return sum(failed for _, failed in self.counts)

    def say(self, words: str) -> None:
        """Tell all of them."""
        for process in self._processes:
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(f"{words}\n".encode())

    async def finish(self) -> None:
        """Read on until each has told its result."""
        await asyncio.gather(*(self._follow(index) for index in range(len(self._processes))))

    async def _follow(self, index: int) -> None:
        message = await self._read(self._processes[index], "result", index)
        self.results.append(message["result"])

    async def _read(self, process: asyncio.subprocess.Process, wanted: str, index: int = 0) -> dict[str, Any]:
        """The next message that has `wanted`."""
        assert process.stdout is not None
        async for line in process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "error" in message:
                raise LoadError(message["error"])
            if "up" in message:
                self.counts[index] = message["up"], message["failed"]
            if wanted in message:
                return message
        raise LoadError(f"a process of callers ended with status {await process.wait()}; see above")

    async def _end(self) -> None:
        """Each ends by itself when it has told its result, or when nobody speaks to it any more."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        waits = [asyncio.create_task(process.wait()) for process in self._processes]
        if not waits:
            return
        await asyncio.wait(waits, timeout=EXIT_WITHIN_S)
        for process in self._processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    # Not `process.kill()`: that may reap it before asyncio does, which then complains.
                    os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait(waits)


async def _start(plan: WorkerPlan) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "runner.callers.load.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment({}),
        limit=LINE_LIMIT_BYTES,
        # Ctrl-C is for the parent, which asks for what was measured so far.
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )
    assert process.stdin is not None
    process.stdin.write(f"{plan.to_json()}\n".encode())
    return process
