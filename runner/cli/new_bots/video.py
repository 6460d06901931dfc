"""A voice bot with video: its camera shows a live waveform and subtitles, and it sees the caller's camera.

    botrun BOT_FILE    open the page, press the button, and say "what time is it"

The subtitles need `pip install 'botrun[camera]'`.
"""

import logging

from runner import RunnerArguments, create_transport
from runner.frames import Frame, FrameDirection, InputImageRawFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair, Subtitles
from runner.processors.voice_picture import VoicePicture
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.transports.base import BaseTransport, TransportParams
from runner.vad import SileroVADAnalyzer

WIDTH, HEIGHT = 640, 360
GREETING = "Hello! You can read what I say here. Ask me what time it is."
logger = logging.getLogger(__name__)


class Eyes(FrameProcessor):
    """Receives the caller's pictures: this is where you would pass them to a model."""

    size: tuple[int, int] | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if not isinstance(frame, InputImageRawFrame):
            await self.push_frame(frame, direction)
        elif frame.size != self.size:
            self.size = frame.size
            logger.info("I see you, %d x %d pixels large", *frame.size)


def browser() -> TransportParams:
    return TransportParams(
        audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer(),
        video_in_enabled=True, video_out_enabled=True,
        video_out_width=WIDTH, video_out_height=HEIGHT, video_out_framerate=20, video_out_bitrate=600_000,
    )  # fmt: skip


async def bot(runner_args: RunnerArguments) -> None:
    transport = await create_transport(runner_args, {"webrtc": browser, "daily": browser})
    memory = LLMContextAggregatorPair(LLMContext())
    pipeline = Pipeline(
        [
            transport.input(), Eyes(), LocalSTTService(), memory.user(), ScriptedDialogue(),
            LocalTTSService(), transport.output(), Subtitles(), VoicePicture(WIDTH, HEIGHT),
            memory.assistant(),
        ]
    )  # fmt: skip
    task = PipelineTask(pipeline, idle_timeout_secs=runner_args.pipeline_idle_timeout_secs)

    @transport.event_handler("on_client_connected")
    async def greet(transport: BaseTransport, client: object) -> None:
        await task.queue_frame(TTSSpeakFrame(GREETING))

    await PipelineRunner().run(task)
