"""A voice bot with tools: Python functions that the language model calls.

    botrun BOT_FILE                   talk to it in the browser; ask what time it is
    botrun call BOT_FILE -t twilio    call it as a phone would

With OPENAI_API_KEY in the environment, or in a file .env beside this one, a language model decides when to
call them. Without it, a small script calls `time_now` for "what time is it".
"""

import os
from datetime import datetime
from typing import Literal

from runner import RunnerArguments, create_transport
from runner.frames import FunctionCall, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.local.dialogue import Answer
from runner.services.openai import OpenAILLMService
from runner.services.tools import ToolCall, tool
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

PROMPT = "You are a friendly voice assistant. Answer in one or two short sentences, without any markup."
GREETING = "Hello! Ask me what time it is."


async def time_now() -> str:
    """The current time at the bot."""
    return f"{datetime.now():%H:%M}"


@tool(filler="Let me look.", timeout_s=5)
async def weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> dict[str, str | int]:
    """The weather in a city.

    Args:
        city: the name of the city.
    """
    return {"city": city, "sky": "sunny", "temperature": 21 if unit == "celsius" else 70}


async def hang_up(call: ToolCall) -> str:
    """End the call, when the user has said goodbye."""
    await call.end_call()
    return "said goodbye"


class Script(ScriptedDialogue):
    """Replaces a model: calls `time_now`, and says the result."""

    def reply_to(self, context: LLMContext) -> Answer | FunctionCall:
        last = context.messages[-1]
        if last["role"] == "tool":
            return Answer(f"It is {last['content']} now.".replace('"', ""))
        if "time" in str(last.get("content")):
            return FunctionCall("time_now", "call-1", {})
        return super().reply_to(context)


def browser() -> TransportParams:
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer())


def phone() -> FastAPIWebsocketParams:
    return FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
    )


def make_llm() -> LLMService:
    if key := os.environ.get("OPENAI_API_KEY"):
        base_url, model = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL")
        return OpenAILLMService(api_key=key, base_url=base_url, model=model)
    return Script()


async def bot(runner_args: RunnerArguments) -> None:
    phones = dict.fromkeys(("twilio", "telnyx", "plivo", "exotel", "websocket"), phone)
    transport = await create_transport(runner_args, {"webrtc": browser, **phones})
    context = LLMContext([{"role": "system", "content": PROMPT}], tools=[time_now, weather, hang_up])
    memory = LLMContextAggregatorPair(context)
    pipeline = Pipeline(
        [
            transport.input(),
            LocalSTTService(),
            memory.user(),
            make_llm(),
            LocalTTSService(),
            transport.output(),
            memory.assistant(),
        ]
    )
    task = PipelineTask(pipeline, idle_timeout_secs=runner_args.pipeline_idle_timeout_secs)

    @transport.event_handler("on_client_connected")
    async def greet(transport: BaseTransport, client: object) -> None:
        await task.queue_frame(TTSSpeakFrame(GREETING))

    await PipelineRunner().run(task)
