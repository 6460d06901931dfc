"""Imports its neighbour, and is imported by it."""

import a_neighbour

from runner.arguments import RunnerArguments

GREETING = a_neighbour.GREETING


async def bot(runner_args: RunnerArguments) -> None:
    pass
