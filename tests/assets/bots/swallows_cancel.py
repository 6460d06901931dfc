"""A bot that will not end: it catches its cancellation, again and again."""

import asyncio

from runner.arguments import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
