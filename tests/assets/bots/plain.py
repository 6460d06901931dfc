"""The least bot there is."""

from runner.arguments import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    pass
