"""A voice bot that answers a phone, keys included.

    botrun call BOT_FILE -t twilio --scenario keypad    call it from this machine, without an account
    botrun BOT_FILE -t twilio --tunnel --number +1…     connect it to your phone number
    botrun BOT_FILE                                     talk to it in the browser

Without an API key, a small script answers ("what time is it", "goodbye"). With OPENAI_API_KEY in the
environment, or in a file .env beside this one, a language model answers.
"""

import os

from runner import RunnerArguments, WebSocketRunnerArguments, create_transport
from runner.frames import Frame, FrameDirection, InputDTMFFrame, TransferCallFrame, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.openai import OpenAILLMService
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

PROMPT = "You answer the phone. Be brief and kind: one or two short sentences, without any markup."
GREETING = "Hello! Press zero for a person, or just talk to me."
PERSON = os.environ.get("PERSON_NUMBER", "")  # such as +14155550199


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


class Keypad(FrameProcessor):
    """Transfers the caller to a person on zero; repeats any other key."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if not isinstance(frame, InputDTMFFrame):
            await self.push_frame(frame, direction)
        elif frame.digit == "0" and PERSON:
            await self.push_frame(TTSSpeakFrame("One moment, please."))
            await self.push_frame(TransferCallFrame(to=PERSON))
        elif frame.digit == "0":
            await self.push_frame(TTSSpeakFrame("Nobody is there right now."))
        else:
            await self.push_frame(TTSSpeakFrame(f"You pressed {frame.digit}."))


async def bot(runner_args: RunnerArguments) -> None:
    phones = dict.fromkeys(("twilio", "telnyx", "plivo", "exotel", "websocket"), phone)
    transport = await create_transport(runner_args, {"webrtc": browser, **phones})
    prompt = PROMPT
    if isinstance(runner_args, WebSocketRunnerArguments) and runner_args.from_number:
        prompt += f" The caller's number is {runner_args.from_number}."
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": prompt}]))
    pipeline = Pipeline(
        [
            transport.input(),
            Keypad(),
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
