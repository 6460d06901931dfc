"""The page tests' bot: it hears any speech as the next line of its script, and answers at length.

Its voice is a hum with the words' times, so the tests need no voice of a machine's. Failures are asked for
by `BOT_FAILS`: "at once", or "when spoken to".
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import AsyncGenerator

from runner import SmallWebRTCRunnerArguments
from runner.frames import Frame, TranscriptionFrame, TTSAudioRawFrame, TTSTextFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.stt import SegmentedSTTService
from runner.services.tts import TTSService
from runner.transports.base import TransportParams
from runner.transports.webrtc import SmallWebRTCTransport
from runner.vad import SileroVADAnalyzer

RATE = 16000
WORD_MS = 220
ANSWER = (
    "It is a quarter to nine. "
    + "And I could go on for quite a while about clocks and the hours of the night. " * 3
)


class Ears(SegmentedSTTService):
    script = ("what time is it", "stop")
    heard = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        text = self.script[min(self.heard, len(self.script) - 1)]
        self.heard += 1
        yield TranscriptionFrame(text)


class Script(LLMService):
    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        asked = str(context.messages[-1]["content"])
        if os.environ.get("BOT_FAILS") == "when spoken to":
            raise RuntimeError("the script is lost")
        yield ANSWER if "time" in asked else f"You said: {asked}."


class Hum(TTSService):
    gives_word_times = True

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        words = text.split()
        for number, word in enumerate(words):
            yield TTSTextFrame(word, audio_offset_ms=number * WORD_MS)
        yield TTSAudioRawFrame(hum(len(words) * WORD_MS), RATE)


def hum(length_ms: int) -> bytes:
    samples = (9000 * math.sin(2 * math.pi * 330 * n / RATE) for n in range(length_ms * RATE // 1000))
    return array("h", (round(sample) for sample in samples)).tobytes()


async def bot(runner_args: SmallWebRTCRunnerArguments) -> None:
    if os.environ.get("BOT_FAILS") == "at once":
        raise ValueError("no such voice: marvin")
    transport = SmallWebRTCTransport(
        params=TransportParams(
            audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
        ),
        webrtc_connection=runner_args.webrtc_connection,
    )
    memory = LLMContextAggregatorPair(LLMContext())
    steps = [
        transport.input(),
        Ears(),
        memory.user(),
        Script(),
        Hum(),
        transport.output(),
        memory.assistant(),
    ]
    await PipelineRunner().run(PipelineTask(Pipeline(steps)))
