"""`PipelineRunner`: runs a `PipelineTask`, and ends it on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

from runner.errors import UsageError
from runner.pipeline.pipeline import Pipeline
from runner.pipeline.task import PipelineTask


class PipelineRunner:
    """Runs a pipeline to its end.

    botrun handles Ctrl-C itself, so `handle_sigint` is only for a bot that runs without botrun.
    """

    def __init__(self, *, handle_sigint: bool = False, handle_sigterm: bool = False) -> None:
        self._signals = [
            number
            for number, wanted in ((signal.SIGINT, handle_sigint), (signal.SIGTERM, handle_sigterm))
            if wanted
        ]

    async def run(self, task: PipelineTask) -> None:
        """Run the task; return when the call is over. Cancelling this ends the call."""
        if not isinstance(task, PipelineTask):
            hint = ": write run(PipelineTask(pipeline))" if isinstance(task, Pipeline) else ""
            raise UsageError(f"PipelineRunner.run takes a PipelineTask, not {task!r}{hint}")
        with self._handled(task):
            await task.run()

    @contextlib.contextmanager
    def _handled(self, task: PipelineTask) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in self._signals:
            loop.add_signal_handler(number, task.request_cancel, f"signal {number}")
        try:
            yield
        finally:
            for number in self._signals:
                loop.remove_signal_handler(number)
