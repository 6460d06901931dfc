"""A bot whose call goes on until it is ended."""

import asyncio

from runner import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    await asyncio.sleep(3600)
