"""A bot with a child process, which swallows its cancellation as well."""

import asyncio
import subprocess
import sys

from runner import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", "botrun-test-child"])
    print("child", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
