"""A bot of fakes whose parts can be changed one at a time, and a caller for it, in virtual time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phone_bots import PHONES, CountedVoice, Goodbye, LoudnessVAD, tone

from runner import RunnerArguments, create_transport
from runner.botcode.loader import LoadedBot
from runner.callers.call import new_wire
from runner.callers.phone import Phone
from runner.callers.sound.microphone import Manner
from runner.frames import (
    CancelTaskFrame,
    Frame,
    FrameDirection,
    InputDTMFFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.processors.base import UPSTREAM
from runner.records.call import RecordedCall
from runner.records.folder import ids_in
from runner.replay.in_process import URL, served
from runner.services.stt import STTService
from runner.testing import ScriptedLLM, run_virtual, tool_call
from runner.transports.websocket import FastAPIWebsocketParams

REPLIES: tuple[Any, ...] = (
    ["Let me look.", tool_call("find_table", people=2)],
    "There is a table for two. It is near the window, and it is yours until ten.",
    "Take your time.",
    "You pressed a key. Is that all?",
    "Goodbye now, and thank you for calling us today.",
)


class Hears(STTService):
    """Understands the next of `words` each time, `final_s` after the VAD's stop."""

    def __init__(self, words: tuple[str, ...], final_s: float) -> None:
        super().__init__()
        self._words, self._final_s = iter(words), final_s

    def recognise(self, audio: bytes) -> None:
        """It needs no sound."""

    def speech_ended(self, frame: UserStoppedSpeakingFrame) -> None:
        self.create_task(self._understand(), "understand")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame):
            await self.push_frame(TranscriptionFrame(f"key {frame.digit}"))

    async def _understand(self) -> None:
        await asyncio.sleep(self._final_s)
        await self.push_frame(TranscriptionFrame(next(self._words, "something else")))


class CutGoodbye(Goodbye):
    """Hangs up as soon as the model has said goodbye, and not when it has been heard."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if frame.name == "LLMFullResponseEndFrame" and self._bye:
            await asyncio.sleep(0.8)
            await self.push_frame(CancelTaskFrame(), UPSTREAM)
        await super().process_frame(frame, direction)


@dataclass
class ReplayBot:
    """A bot. `tool_result`: what its tool answers."""

    replies: tuple[Any, ...] = REPLIES
    greeting: str = "Hello there, caller."
    words: tuple[str, ...] = ("a table please", "wait a moment", "that is all")
    voice_s: float = 0.06
    hears_s: float = 0.12
    tool_result: Any = field(default_factory=lambda: {"table": 4})
    ending: Callable[[], Goodbye] = Goodbye
    tool_calls: list[Any] = field(default_factory=list)

    async def __call__(self, args: RunnerArguments) -> None:
        params = FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=LoudnessVAD()
        )
        transport = await create_transport(args, dict.fromkeys((*PHONES, "websocket"), lambda: params))
        llm, voice = ScriptedLLM(self.replies, first_s=0.2, word_s=0.02), CountedVoice(8000)
        voice.first_s = self.voice_s
        memory = LLMContextAggregatorPair(LLMContext(tools=[self.find_table]))
        row = [
            transport.input(), Hears(self.words, self.hears_s), memory.user(), llm, self.ending(), voice,
            transport.output(), memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(row))

        @transport.event_handler("on_client_connected")
        async def greet(transport: Any, client: Any) -> None:
            await task.queue_frame(TTSSpeakFrame(self.greeting))

        @transport.event_handler("on_client_disconnected")
        async def leave(transport: Any, client: Any) -> None:
            await task.cancel()

        await PipelineRunner().run(task)

    async def find_table(self, people: int) -> Any:
        """Find a free table.

        Args:
            people: for so many.
        """
        self.tool_calls.append(people)
        await asyncio.sleep(0.3)
        return self.tool_result

    def loaded(self) -> LoadedBot:
        """As a worker has it."""
        return LoadedBot(Path(__file__), "bot", self.__call__, sys.modules[__name__])


async def usual_caller(phone: Phone) -> None:
    """Asks, interrupts the answer, presses a key, and says goodbye; the bot hangs up."""

    async def bot_has_finished(spans: int) -> None:
        done = await phone.until(lambda: len(phone.speech.spans) >= spans and phone.bot_quiet_s() > 0.7, 30)
        assert done, phone.speech.spans

    async def say(seconds: float, manner: Manner = Manner.TURN) -> None:
        utterance = phone.say(tone(seconds), 8000, "words", manner)
        assert await phone.until(lambda: utterance.done, 10)

    await bot_has_finished(1)
    await say(0.9)
    before = len(phone.speech.spans)
    spans = phone.speech.spans
    assert await phone.until(lambda: len(spans) > before and phone.now - spans[before].begin > 3.3, 20)
    await say(0.7, Manner.INTERRUPTION)
    await bot_has_finished(len(phone.speech.spans) + 1)
    await phone.press("5")
    await bot_has_finished(len(phone.speech.spans) + 1)
    await say(0.8)
    assert await phone.until(phone.ended.is_set, 30)


async def _record(
    bot: ReplayBot, folder: Path, provider: str, script: Callable[[Phone], Awaitable[None]]
) -> None:
    async with (
        served(bot.loaded(), folder) as connect,
        Phone(URL, new_wire(provider), connect=connect) as phone,
    ):
        await script(phone)


def record_call(
    bot: ReplayBot,
    folder: Path,
    provider: str = "twilio",
    script: Callable[[Phone], Awaitable[None]] = usual_caller,
) -> RecordedCall:
    """One call in virtual time; its record."""
    before = set(ids_in(folder))
    run_virtual(_record(bot, folder, provider, script), 300)
    (name,) = set(ids_in(folder)) - before
    return RecordedCall(folder / name)
