"""A voice bot that needs no account: try "what time is it", "tell me a joke", "help", "goodbye".

With OPENAI_API_KEY set (OPENAI_BASE_URL and OPENAI_MODEL, too, if you like) that server answers instead.
"""

import os

from runner import RunnerArguments, create_transport
from runner.frames import TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.openai import OpenAILLMService
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

PROMPT = "You are a friendly voice assistant. Answer in one or two short sentences, without any markup."
GREETING = "Hello! Ask me what time it is, or say help."


def browser() -> TransportParams:
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer())


def phone() -> FastAPIWebsocketParams:
    return FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
    )


PHONES = dict.fromkeys(("twilio", "telnyx", "plivo", "exotel", "websocket"), phone)


def make_llm() -> LLMService:
    if key := os.environ.get("OPENAI_API_KEY"):
        base_url, model = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL")
        return OpenAILLMService(api_key=key, base_url=base_url, model=model)
    return ScriptedDialogue()


async def bot(runner_args: RunnerArguments) -> None:
    transport = await create_transport(runner_args, {"webrtc": browser, "daily": browser, **PHONES})
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": PROMPT}]))
    pipeline = Pipeline(
        [
            transport.input(), LocalSTTService(), memory.user(), make_llm(), LocalTTSService(),
            transport.output(), memory.assistant(),
        ]
    )  # fmt: skip
    task = PipelineTask(
        pipeline,
        params=PipelineParams(interruption_strategy="confirm"),  # an "mm-hmm" does not stop the bot
        idle_timeout_secs=runner_args.pipeline_idle_timeout_secs,
    )

    @transport.event_handler("on_client_connected")
    async def greet(transport: BaseTransport, client: object) -> None:
        await task.queue_frame(TTSSpeakFrame(GREETING))

    await PipelineRunner().run(task)
