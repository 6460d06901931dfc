"""Debian's redis-server, started for a test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from free_port import free_port

SKIPPED = "needs Debian's redis-server (apt-get install redis-server)"


@contextlib.asynccontextmanager
async def redis_server(
    folder: Path, host: str = "127.0.0.1", *, inside: tuple[str, ...] = ()
) -> AsyncIterator[str]:
    """Its address while the block lasts. `inside`: words that run it in a namespace."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get("BOTRUN_CI"):
            pytest.fail(SKIPPED)
        pytest.skip(SKIPPED)
    port = free_port()
    words = [*inside, program, "--port", str(port), "--bind", host, "--protected-mode", "no"]
    process = await asyncio.create_subprocess_exec(
        *words, "--save", "", "--appendonly", "no", "--dir", str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"Ready to accept connections" not in await process.stdout.readline():
                pass
        yield f"redis://{host}:{port}/0"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
