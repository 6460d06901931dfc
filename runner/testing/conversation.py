"""A whole conversation of fakes, in virtual time: half a minute is tested in milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineParams, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair, Summarize
from runner.testing.caller import ScriptedSTT, ScriptedVAD
from runner.testing.fakes import FakeTransport, Line, Recorder, ScriptedLLM, ScriptedTTS
from runner.testing.virtual_time import run_virtual
from runner.transports.base import TransportParams
from runner.turns.end_of_turn import TurnAnalyzer

LONGEST_S = 300.0

_EVENTS: dict[type[Frame], str] = {
    UserStartedSpeakingFrame: "user starts",
    UserStoppedSpeakingFrame: "user stops",
    BotStartedSpeakingFrame: "bot starts",
    BotStoppedSpeakingFrame: "bot stops",
    BotPausedSpeakingFrame: "bot pauses",
    BotResumedSpeakingFrame: "bot resumes",
}


class Conversation:
    """A bot of scripted services and a caller. Build it, `run` a script, look at what was heard.

    ```python
    it = Conversation("Good morning.", interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("hello")
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "hello"), ("assistant", "Good morning.")]
    ```

    Args:
        replies: what the language model answers, in order.
        tools: functions that it may call.
        vad: when speech is noticed.
        stt_s: from the VAD's stop to the transcript.
        llm_s: from the question to the first word.
        llm_word_s: from each word to the next.
        tts_s: from a sentence to its first sound.
        word_s: how long the voice takes for a word.
        speculative: as for `LLMContextAggregatorPair`.
        summarize: as there.
        turn_analyzer: as in `TransportParams`.
        between: processors between the language model and the voice.
        params: those of `PipelineParams`, as `interruption_strategy`.
    """

    def __init__(
        self,
        *replies: str | Sequence[Line],
        tools: Iterable[Any] = (),
        vad: ScriptedVAD | None = None,
        stt_s: float = 0.1,
        llm_s: float = 0.15,
        llm_word_s: float = 0.0,
        tts_s: float = 0.08,
        word_s: float = 0.3,
        interim: bool = True,
        speculative: bool = False,
        summarize: Summarize | None = None,
        turn_analyzer: TurnAnalyzer | None = None,
        between: Sequence[FrameProcessor] = (),
        **params: Any,
    ) -> None:
        carries = TransportParams(audio_in_enabled=True, audio_out_enabled=True, turn_analyzer=turn_analyzer)
        self.transport = FakeTransport(carries, vad=vad or ScriptedVAD())
        self.caller = self.transport.caller
        self.stt = ScriptedSTT(self.caller, final_s=stt_s, interim=interim)
        self.llm = ScriptedLLM(replies, first_s=llm_s, word_s=llm_word_s)
        self.tts = ScriptedTTS(first_s=tts_s, word_s=word_s)
        self.context = LLMContext(tools=tools)
        self.heard = Recorder()
        memory = LLMContextAggregatorPair(self.context, speculative=speculative, summarize=summarize)
        self._row = [
            self.transport.input(), self.stt, memory.user(), self.llm, *between, self.tts,
            self.transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self._params = params

    def run(self, script: Callable[[], Awaitable[None]]) -> Conversation:
        """Run the call until the script is over and the bot has finished."""

        async def both() -> None:
            self.task = PipelineTask(Pipeline(self._row), params=PipelineParams(**self._params))
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                group.create_task(play())

        async def play() -> None:
            await asyncio.sleep(0.01)
            await script()
            await self.task.stop_when_done()

        run_virtual(both(), LONGEST_S)
        return self

    # ------------------------------------------------------------ for scripts

    async def bot_says(self, word: str) -> None:
        """Wait until the listener hears this word."""
        while word not in self.words():
            await asyncio.sleep(0.01)

    async def bot_is_silent(self, seconds: float = 1.0) -> None:
        """Wait until the bot, from now on, has stopped speaking and been silent for so long."""
        stops = len(self.heard.of(BotStoppedSpeakingFrame))
        while True:
            told = self.heard.of(BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
            stopped = told and isinstance(told[-1].frame, BotStoppedSpeakingFrame)
            silent_s = asyncio.get_running_loop().time() - told[-1].at if stopped else 0.0
            if len(self.heard.of(BotStoppedSpeakingFrame)) > stops and silent_s >= seconds:
                return
            await asyncio.sleep(0.01)

    # ------------------------------------------------------------ what came of it

    def words(self) -> list[str]:
        """The words that the listener has heard."""
        return [seen.frame.text for seen in self.heard.seen if isinstance(seen.frame, TTSTextFrame)]

    def events(self) -> list[str]:
        """Who started and stopped, in order."""
        return [_EVENTS[type(seen.frame)] for seen in self.heard.seen if type(seen.frame) in _EVENTS]

    def remembered(self) -> list[tuple[str, str]]:
        """Role and text of each message."""
        return [(m["role"], m["content"]) for m in self.context.messages if m.get("content")]

    def when(self, kind: type[Frame], index: int = -1) -> float:
        """When (s) a frame of this kind was heard; by default the last one."""
        return self.heard.of(kind)[index].at
