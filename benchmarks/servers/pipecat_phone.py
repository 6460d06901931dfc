"""The peer: an echo bot on pipecat 1.14.0's FastAPI transport with its Twilio serializer, as cheap as its
public settings make it (no RTVI, no turn tracking, no log below warnings, 8 kHz, nothing resampled).

    pip install 'pipecat-ai[silero,websocket,runner]==1.14.0'
    python pipecat_phone.py --port 7870 [--vad]
"""

import argparse
import json
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import Frame, InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 8000


class Echo(FrameProcessor):
    """Sends back what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


async def stream_of(socket: WebSocket) -> tuple[str, str]:
    """Stream and call id, from the start message."""
    while True:
        message = json.loads(await socket.receive_text())
        if message["event"] == "start":
            return message["start"]["streamSid"], message["start"]["callSid"]


async def answer(socket: WebSocket, vad: bool) -> None:
    """One call."""
    await socket.accept()
    stream, call = await stream_of(socket)
    quiet = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            serializer=TwilioFrameSerializer(stream, call, params=quiet),
        ),
    )
    listening: list[FrameProcessor] = []
    if vad:
        from pipecat.audio.vad.silero import SileroVADAnalyzer
        from pipecat.processors.audio.vad_processor import VADProcessor

        listening.append(VADProcessor(vad_analyzer=SileroVADAnalyzer()))
    worker = PipelineWorker(
        Pipeline([transport.input(), *listening, Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ),
        idle_timeout_secs=None,
        enable_rtvi=False,
        enable_turn_tracking=False,
    )

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: object, client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--vad", action="store_true")
    asked = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await answer(socket, asked.vad)

    uvicorn.run(app, host="127.0.0.1", port=asked.port, log_level="warning")


if __name__ == "__main__":
    main()
