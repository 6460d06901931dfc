from runner.arguments import RunnerArguments


async def sales(runner_args: RunnerArguments) -> None:
    pass


async def support(runner_args: RunnerArguments) -> None:
    pass
