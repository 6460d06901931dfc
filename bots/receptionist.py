"""The receptionist of a small practice: books, moves and cancels appointments in a diary of its own.

    botrun call bots/receptionist.py -t twilio --say "I would like to book an appointment for tomorrow at ten"
    botrun bots/receptionist.py

With OPENAI_API_KEY (OPENAI_BASE_URL, OPENAI_MODEL) in the environment or in a .env beside this file that
server talks, with OLLAMA_MODEL an Ollama on this machine; both at once stand in for each other. Without any,
a small script does, which calls the same tools. PERSON_NUMBER is who callers are handed over to. The diary is
the file `receptionist.sqlite3` beside this one, or `diary` of `--body`.
"""

import os
from datetime import datetime
from pathlib import Path

from receptionist_desk import Desk
from receptionist_diary import Diary
from receptionist_script import next_step

from runner import RunnerArguments, create_transport
from runner.frames import FunctionCall, TTSSpeakFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.services.fallback import FallbackLLM
from runner.services.llm import LLMService
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.local.dialogue import Answer
from runner.services.ollama import OllamaLLMService
from runner.services.openai import OpenAILLMService
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.websocket import FastAPIWebsocketParams
from runner.vad import SileroVADAnalyzer

GREETING = "Willow Street Practice, good day! How can I help you?"
SORRY = "I am sorry, I have trouble with my line. Could you say that again?"
PROMPT = """You are Robin, the receptionist of the Willow Street Practice, on the phone.
It is {now:%A, %d %B %Y, %H:%M}.
Be warm and quick. Say one or two short sentences at a time, as one speaks: no lists, no markup, "half past
ten" and not "10:30". Ask for one thing at a time. Use the tools for everything about the diary, and never
guess a free time. Before you book, you need the caller's name, the day and the time. Before you cancel, say
which appointment you mean. If you cannot help, offer to take a message or to hand over to a person. When the
caller says goodbye, hang up."""


def browser() -> TransportParams:
    return TransportParams(audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer())


def phone() -> FastAPIWebsocketParams:
    return FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=SileroVADAnalyzer()
    )


PHONES = dict.fromkeys(("twilio", "telnyx", "plivo", "exotel", "websocket"), phone)


class ScriptedReceptionist(ScriptedDialogue):
    """Stands in for a model."""

    def reply_to(self, context: LLMContext) -> Answer | FunctionCall:
        return next_step(context.messages, self.now().replace(tzinfo=None))


def make_llm() -> LLMService:
    """The models that there are, each standing in for the one before; or the script."""
    models: list[LLMService] = []
    if key := os.environ.get("OPENAI_API_KEY"):
        base_url, model = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_MODEL")
        models.append(OpenAILLMService(api_key=key, base_url=base_url, model=model))
    if model := os.environ.get("OLLAMA_MODEL"):
        models.append(OllamaLLMService(model=model))
    if not models:
        return ScriptedReceptionist()
    llm = FallbackLLM(*models)
    llm.sorry = SORRY
    return llm


async def bot(runner_args: RunnerArguments) -> None:
    body = runner_args.body if isinstance(runner_args.body, dict) else {}
    diary = Diary(Path(body.get("diary") or Path(__file__).with_name("receptionist.sqlite3")))
    desk = Desk(diary, datetime.now, person=os.environ.get("PERSON_NUMBER", ""))
    prompt = {"role": "system", "content": PROMPT.format(now=datetime.now())}
    memory = LLMContextAggregatorPair(LLMContext([prompt], tools=desk.tools()))
    transport = await create_transport(runner_args, {"webrtc": browser, **PHONES})
    pipeline = Pipeline(
        [
            transport.input(), LocalSTTService(grammar="appointments"), memory.user(), make_llm(),
            LocalTTSService(), transport.output(), memory.assistant(),
        ]
    )  # fmt: skip
    task = PipelineTask(pipeline, idle_timeout_secs=runner_args.pipeline_idle_timeout_secs)

    @transport.event_handler("on_client_connected")
    async def greet(transport: BaseTransport, client: object) -> None:
        await task.queue_frame(TTSSpeakFrame(GREETING))

    await PipelineRunner().run(task)
