"""A bot whose services all refuse its keys, and which tells a key itself, as a slip in its code might."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from runner import RunnerArguments, WebSocketRunnerArguments
from runner.frames import LLMRunFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.cartesia import CartesiaTTSService
from runner.services.deepgram import DeepgramSTTService
from runner.services.elevenlabs import ElevenLabsTTSService
from runner.services.openai import OpenAILLMService
from runner.transports.websocket import FastAPIWebsocketParams, FastAPIWebsocketTransport


async def bot(runner_args: RunnerArguments) -> None:
    assert isinstance(runner_args, WebSocketRunnerArguments)
    vendor = os.environ["VENDOR"]
    params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = FastAPIWebsocketTransport(runner_args.websocket, params)
    memory = LLMContextAggregatorPair(LLMContext())
    voices = {
        "ElevenLabs": lambda: ElevenLabsTTSService(voice="v", url=f"ws://{vendor}/eleven"),
        "Cartesia": lambda: CartesiaTTSService(voice="v", url=f"ws://{vendor}/cartesia"),
    }
    task = PipelineTask(
        Pipeline(
            [
                transport.input(),
                DeepgramSTTService(url=f"ws://{vendor}/listen"),
                memory.user(),
                OpenAILLMService(base_url=f"http://{vendor}/v1"),
                voices[os.environ["VOICE"]](),
                transport.output(),
                memory.assistant(),
            ]
        )
    )

    async def speak() -> None:
        for _ in range(40):  # until somebody listens beside
            await task.queue_frames([LLMRunFrame(), TTSSpeakFrame("Hello.")])
            await asyncio.sleep(0.25)

    @transport.event_handler("on_client_connected")
    async def begin(transport: Any, client: Any) -> None:
        task.create_task(speak(), "speak")
        raise ValueError(f"no good: {os.environ['OPENAI_API_KEY']}")

    @transport.event_handler("on_client_disconnected")
    async def leave(transport: Any, client: Any) -> None:
        await task.cancel()

    await PipelineRunner().run(task)
