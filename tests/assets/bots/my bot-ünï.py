"""Its name has a space, a dash and letters beyond ASCII."""

from runner.arguments import RunnerArguments


async def bot(runner_args: RunnerArguments) -> None:
    pass
