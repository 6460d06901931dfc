"""A bot whose helper process cannot be started."""

from runner import RunnerArguments
from runner.services.common import warmup


async def start() -> None:
    raise OSError("no such voice")


async def stop() -> None:
    pass


warmup.register("a helper", start, stop)


async def bot(runner_args: RunnerArguments) -> None:
    pass
