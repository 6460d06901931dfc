"""The reload tests' bot: it answers with its prompt's version and the user's turns so far, and greets.

Its voice is a short hum, so that a turn is over quickly.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator
from pathlib import Path

from runner import RunnerArguments, create_transport
from runner.frames import Frame, TTSAudioRawFrame, TTSSpeakFrame, TTSTextFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.tts import TTSService
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams

VERSION = "version 0"
NOTES = Path(__file__).with_name("notes.txt")
RATE, WORD_MS = 16000, 10


class Script(LLMService):
    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        prompts = [m["content"] for m in context.messages if m["role"] == "system"]
        turns = [m["content"] for m in context.messages if m["role"] == "user"]
        notes = NOTES.read_text().strip() if NOTES.exists() else ""
        yield f"{' and '.join(prompts)}, heard {' '.join(turns)}{notes}."


class Hum(TTSService):
    gives_word_times = True

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        words = text.split()
        for number, word in enumerate(words):
            yield TTSTextFrame(word, audio_offset_ms=number * WORD_MS)
        samples = (9000 * math.sin(2 * math.pi * 330 * n / RATE) for n in range(len(words) * WORD_MS * 16))
        yield TTSAudioRawFrame(array("h", map(round, samples)).tobytes(), RATE)


def browser() -> TransportParams:
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True)


def phone() -> FastAPIWebsocketParams:
    return FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True)


async def bot(runner_args: RunnerArguments) -> None:
    # here a test makes it fail
    transport = await create_transport(runner_args, {"webrtc": browser, "twilio": phone, "websocket": phone})
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": VERSION}]))
    steps = [transport.input(), memory.user(), Script(), Hum(), transport.output(), memory.assistant()]
    task = PipelineTask(Pipeline(steps))

    @transport.event_handler("on_client_connected")
    async def greet(transport: BaseTransport, client: object) -> None:
        await task.queue_frame(TTSSpeakFrame("Greetings."))

    @transport.event_handler("on_client_disconnected")
    async def gone(transport: BaseTransport, client: object) -> None:
        print(f"the client of {VERSION} has gone", flush=True)

    await PipelineRunner().run(task)
