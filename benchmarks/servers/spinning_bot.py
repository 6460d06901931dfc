"""bots/echo_bot.py, but a caller from +15550000000 meets a bot that computes for ever and never waits."""

import sys
from pathlib import Path

from runner import RunnerArguments, WebSocketRunnerArguments

sys.path.insert(0, str(Path(__file__).parents[2] / "bots"))

import echo_bot

SPINS = "+15550000000"


async def bot(runner_args: RunnerArguments) -> None:
    if isinstance(runner_args, WebSocketRunnerArguments) and runner_args.from_number == SPINS:
        while True:
            pass
    await echo_bot.bot(runner_args)
