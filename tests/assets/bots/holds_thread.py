"""A bot that leaves a thread behind which never ends."""

import threading
import time

from runner.arguments import RunnerArguments

threading.Thread(target=time.sleep, args=(3600,)).start()


async def bot(runner_args: RunnerArguments) -> None:
    pass
