from runner.arguments import RunnerArguments


async def helper(text: str) -> None:
    pass


async def answer_calls(runner_args: RunnerArguments) -> None:
    pass
