"""A bot for clients made with Pipecat's packages: it hears any speech as its script, hums its answers, uses a
tool, and speaks with the page."""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator
from typing import Any

from runner import RunnerArguments, create_transport
from runner.frames import (
    ErrorFrame,
    Frame,
    FunctionCall,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
)
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.rtvi import (
    RTVI,
    RTVIClientMessageFrame,
    RTVIFunctionCallReportLevel,
    RTVIObserverParams,
    RTVIUICommandFrame,
)
from runner.services.llm import LLMService
from runner.services.stt import SegmentedSTTService
from runner.services.tts import TTSService
from runner.transports.params import TransportParams
from runner.vad import SileroVADAnalyzer

RATE, WORD_MS = 16000, 200


class Ears(SegmentedSTTService):
    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        yield TranscriptionFrame("what time is it")


async def clock(zone: str) -> dict[str, str]:
    """What time it is."""
    return {"time": "8:45", "zone": zone}


class Script(LLMService):
    """Looks at the clock, then answers."""

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        if context.messages[-1]["role"] == "tool":
            yield f"You said: {context.last_user_text()}."
        else:
            yield FunctionCall("clock", f"call-{len(context.messages)}", {"zone": "here"})


class Hum(TTSService):
    gives_word_times = True

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        words = text.split()
        for number, word in enumerate(words):
            yield TTSTextFrame(word, audio_offset_ms=number * WORD_MS)
        samples = (
            9000 * math.sin(2 * math.pi * 330 * n / RATE) for n in range(len(words) * WORD_MS * RATE // 1000)
        )
        yield TTSAudioRawFrame(array("h", (round(sample) for sample in samples)).tobytes(), RATE)


async def serve(task: PipelineTask, body: Any, asked: RTVIClientMessageFrame) -> Any:
    """What the page may ask for."""
    match asked.type:
        case "guest":
            return body
        case "where":
            assert task.rtvi is not None
            return await task.rtvi.call_function("where_am_i", {"precise": True})
        case "toast":
            await task.queue_frame(RTVIUICommandFrame("toast", {"title": "Hello"}))
        case "mute":
            await task.queue_frames([UserMuteStartedFrame(), UserMuteStoppedFrame()])
        case "fail":
            await task.queue_frame(ErrorFrame("the voice is hoarse"))
        case other:
            raise ValueError(f"nobody here knows {other}")
    return None


def params() -> TransportParams:
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer())


async def bot(runner_args: RunnerArguments) -> None:
    transport = await create_transport(runner_args, {"webrtc": params, "websocket": params})
    memory, llm = LLMContextAggregatorPair(LLMContext()), Script()
    llm.register_function(clock)
    steps = [
        transport.input(),
        Ears(),
        memory.user(),
        llm,
        Hum(),
        transport.output(),
        memory.assistant(),
    ]
    result = RTVIObserverParams(function_call_report_level={"*": RTVIFunctionCallReportLevel.FULL})
    task = PipelineTask(Pipeline(steps), rtvi_observer_params=result)
    assert task.rtvi is not None

    @task.rtvi.event_handler("on_client_ready")
    async def ready(rtvi: RTVI) -> None:
        await rtvi.set_bot_ready()
        await rtvi.send_server_message({"welcome": True})

    @task.rtvi.event_handler("on_client_message")
    async def message(rtvi: RTVI, asked: RTVIClientMessageFrame) -> None:
        try:
            await rtvi.send_server_response(asked, await serve(task, runner_args.body, asked))
        except ValueError as error:
            await rtvi.send_error_response(asked, str(error))

    await PipelineRunner().run(task)
