"""A bot that holds the event loop."""

import time

from runner.arguments import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    time.sleep(3600)  # noqa: ASYNC251
