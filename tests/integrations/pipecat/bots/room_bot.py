"""For a Daily room, with a transport that has the events of Pipecat's `DailyTransport` and no network."""

import asyncio
import os

from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.runner.types import DailyRunnerArguments, RunnerArguments
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.workers.runner import WorkerRunner

rooms = []


class RoomTransport(BaseTransport):
    def __init__(self, room_url: str, token: str):
        super().__init__()
        self.room_url, self.token = room_url, token
        for name in ("on_participant_joined", "on_participant_left", "on_error"):
            self._register_event_handler(name)
        self._input = BaseInputTransport(TransportParams())
        self._input._transport = self

    def input(self) -> FrameProcessor:
        return self._input

    def output(self) -> FrameProcessor:
        return self._input

    async def happens(self, name: str, *args):
        await self._call_event_handler(name, *args)


async def bot(runner_args: RunnerArguments):
    assert isinstance(runner_args, DailyRunnerArguments)
    assert os.environ["ENV"] == "local"
    transport = RoomTransport(runner_args.room_url, runner_args.token)
    transport.args = runner_args
    worker = PipelineWorker(Pipeline([transport.input()]))

    @worker.event_handler("on_pipeline_started")
    async def on_pipeline_started(worker, frame):
        rooms.append(transport)

    @transport.event_handler("on_participant_left")
    async def on_participant_left(transport, participant, reason):
        await asyncio.sleep(0)
        transport.left = participant["id"]

    runner = WorkerRunner(handle_sigint=True)
    await runner.add_workers(worker)
    await runner.run()
