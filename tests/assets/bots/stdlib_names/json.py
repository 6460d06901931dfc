"""Shares its name with a module of the standard library, and uses that module."""

import json

from runner.arguments import RunnerArguments

THERE = json.dumps({"a": 1})


async def bot(runner_args: RunnerArguments) -> None:
    pass
