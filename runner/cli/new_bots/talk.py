"""A voice bot.

    botrun BOT_FILE                   talk to it in the browser
    botrun call BOT_FILE -t twilio    call it as a phone would

Without an API key, a small script answers ("what time is it", "tell me a joke", "goodbye"). With
OPENAI_API_KEY in the environment, or in a file .env beside this one, a language model answers.
"""

import os

from runner import RunnerArguments, create_transport
from runner.frames import TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.openai import OpenAILLMService
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

PROMPT = "You are a friendly voice assistant. Answer in one or two short sentences, without any markup."
GREETING = "Hello! What can I do for you?"


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
    return ScriptedDialogue()


async def bot(runner_args: RunnerArguments) -> None:
    phones = dict.fromkeys(("twilio", "telnyx", "plivo", "exotel", "websocket"), phone)
    transport = await create_transport(runner_args, {"webrtc": browser, **phones})
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": PROMPT}]))
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
