"""A bot that reads single keys, and does not clean up."""

import asyncio
import sys
import tty

from runner import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    tty.setcbreak(sys.stdin.fileno())
    await asyncio.sleep(3600)
