"""Recogniser, language model, tools and voice that do what those of a recorded call did.

They take the places of the bot's own services in its pipeline, under the same names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from runner.errors import ServiceError
from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.playback.script import Recognised, Round, Script, ToolAnswer
from runner.playback.voice import CHARS_PER_S, Spoken, hum
from runner.processors.base import FrameProcessor
from runner.processors.context import LLMContext
from runner.services.llm import LLMService
from runner.services.stt import STTService
from runner.services.tools.call import ToolCall
from runner.services.tools.toolbox import Tool, Toolbox, ToolOptions
from runner.services.tts import TTSService
from runner.turns.segments import units

logger = logging.getLogger(__name__)

CHUNK_S = 0.2
ItemT = TypeVar("ItemT", Recognised, Round, Spoken)


class Playback:
    """Stands in for the services of one call.

    Args:
        script: what they did in the recorded call.
        live_tools: names of tools that run their own code.
    """

    def __init__(self, script: Script, live_tools: Iterable[str] = ()) -> None:
        self._script = script
        self._tools = RecordedTools(script.tools, live_tools)

    def stand_in(self, processor: FrameProcessor) -> Sequence[FrameProcessor]:
        """What takes the place of a processor (`runner.pipeline.pipeline.stand_ins`)."""
        match processor:
            case RecordedSTT() | RecordedLLM() | RecordedTTS():
                return [processor]
            case STTService():
                return [RecordedSTT(of_service(self._script.recognised, processor.name), processor.name)]
            case LLMService():
                return [RecordedLLM(of_service(self._script.rounds, processor.name), processor, self._tools)]
            case TTSService():
                return [RecordedTTS(of_service(self._script.sentences, processor.name), processor.name)]
        return [processor]


def of_service(items: Sequence[ItemT], name: str) -> list[ItemT]:
    """What a service of this name did; all, if none had it."""
    return [item for item in items if item.service == name] or list(items)


# ------------------------------------------------------------------ the recogniser


class RecordedSTT(STTService):
    """Understands what the recorded recogniser understood, as long after the VAD's events as it did."""

    def __init__(self, recognised: Sequence[Recognised], name: str) -> None:
        super().__init__(name=name)
        self._due: dict[tuple[str, int], list[Recognised]] = {}
        for each in recognised:
            self._due.setdefault((each.after, each.index), []).append(each)
        self._counts = {"started": 0, "stopped": 0, "key": 0}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if direction is not FrameDirection.DOWNSTREAM:
            return
        match frame:
            case StartFrame():
                self._begin("started", 0)
            case UserStartedSpeakingFrame():
                self._count("started")
            case UserStoppedSpeakingFrame():
                self._count("stopped")
            case InputDTMFFrame():
                self._count("key")

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        self._begin(what, self._counts[what])

    def _begin(self, what: str, index: int) -> None:
        if words := self._due.get((what, index)):
            self.create_task(self._understand(words), "understand")

    async def _understand(self, words: Sequence[Recognised]) -> None:
        clock = self.processor_setup.clock
        since = clock()
        for each in words:
            await asyncio.sleep(max(since + each.delay_s - clock(), 0.0))
            if each.final:
                await self.push_frame(TranscriptionFrame(each.text, confidence=each.confidence))
            else:
                await self.push_frame(InterimTranscriptionFrame(each.text))


# ------------------------------------------------------------------ the model and its tools


class RecordedLLM(LLMService):
    """Answers each request with the recorded answer to the request of the same number."""

    may_stay_silent = True

    def __init__(self, rounds: Sequence[Round], instead: LLMService, tools: RecordedTools) -> None:
        super().__init__(name=instead.name)
        self.share_tools(instead)
        self._tools._toolbox = self.toolbox = tools.over(instead.toolbox)
        self.model = getattr(instead, "model", None)
        self.sorry = instead.sorry
        self._rounds = list(rounds)
        self._asked = 0

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        self._asked += 1
        if self._asked > len(self._rounds):
            count = len(self._rounds)
            raise ServiceError(
                f"the recorded call asked the model {count} times, and this is request {self._asked}: "
                "replay it with --services live"
            )
        answer = self._rounds[self._asked - 1]
        async for piece in self._say(answer):
            yield piece
        for call_id, name, arguments in answer.calls:
            yield FunctionCall(name, call_id, arguments)
        if answer.ends_call:
            await self.push_frame(EndTaskFrame(reason="as in the recorded call"), FrameDirection.UPSTREAM)

    async def _say(self, answer: Round) -> AsyncIterator[str]:
        """The text, its first word, first sentence and end at their times."""
        clock = self.processor_setup.clock
        since = clock()

        async def until(at_s: float) -> None:
            if (wait_s := since + at_s - clock()) > 0:
                await asyncio.sleep(wait_s)

        if answer.failure:
            await until(answer.total_s)
            raise ServiceError(answer.failure)
        first, opening, rest = _pieces(answer)
        await until(answer.first_s if answer.first_s is not None else answer.total_s)
        if first:
            yield first
        if opening:
            await until(answer.sentence_s or 0.0)
            yield opening
        if rest:
            words = rest.split(" ")
            begin = max(answer.sentence_s or 0.0, answer.first_s or 0.0)
            for number, word in enumerate(words, 1):
                await until(begin + (answer.total_s - begin) * number / len(words))
                yield word if number == len(words) else f"{word} "
        await until(answer.total_s)


def _pieces(answer: Round) -> tuple[str, str, str]:
    """The text in three: its beginning, the rest of the first sentence, and what follows."""
    text = answer.text
    end = text.find(answer.sentence) + len(answer.sentence) if answer.sentence else 0
    while 0 < end < len(text) and (text[end].isspace() or end - len(answer.sentence) < 1):
        end += 1
    begin = min(end, 1) or min(len(text), 1)
    if 0 < end < len(text):
        end += 1  # a sentence has ended when the next one begins
    return text[:begin], text[begin:end], text[max(begin, end) :]


class RecordedTools:
    """The answers of the recorded call's tools, each given once.

    Args:
        answers: in the order of the calls.
        live: names of tools that run their own code.
    """

    def __init__(self, answers: Sequence[ToolAnswer], live: Iterable[str]) -> None:
        self._left = list(answers)
        self._live = frozenset(live)

    def over(self, toolbox: Toolbox) -> Toolbox:
        """A toolbox with the same tools, that answer as recorded."""
        return _RecordedToolbox(self, toolbox)

    def tool(self, name: str, real: Tool | None) -> Tool | None:
        """The tool of this name, answering as recorded."""
        if name in self._live:
            return real
        options = real.options if real is not None else ToolOptions()
        definition = real.definition if real is not None else None
        return Tool(name, definition, options, partial(self._answer, options))

    async def _answer(self, options: ToolOptions, call: ToolCall) -> Any:
        answer = self._take(call)
        if answer is None:
            name = call.function_name
            return {"error": f"the recorded call has no further call of {name}: use --live-tool {name}"}
        clock, since = call.llm.processor_setup.clock, call.llm.processor_setup.clock()
        for at_s, text in answer.said:
            if text not in options.fillers:
                await asyncio.sleep(max(since + at_s - clock(), 0.0))
                await call.say(text)
        if answer.seconds is None:
            await asyncio.Event().wait()  # it was cancelled
        await asyncio.sleep(max(since + (answer.seconds or 0.0) - clock(), 0.0))
        if answer.ends_call:
            await call.end_call()
        return answer.result

    def _take(self, call: ToolCall) -> ToolAnswer | None:
        """The next answer to a call of this name; to one with the same arguments, if there is one."""
        named = [answer for answer in self._left if answer.name == call.function_name]
        same = [answer for answer in named if dict(answer.arguments) == dict(call.arguments)]
        found = next(iter(same or named), None)
        if found is not None:
            self._left = [answer for answer in self._left if answer is not found]
        return found


class _RecordedToolbox(Toolbox):
    def __init__(self, recorded: RecordedTools, real: Toolbox) -> None:
        super().__init__()
        self._recorded, self._real = recorded, real

    def find(self, name: str, brought: Iterable[Any]) -> Tool | None:
        return self._recorded.tool(name, self._real.find(name, brought))


# ------------------------------------------------------------------ the voice


class RecordedTTS(TTSService):
    """Says each sentence with its recorded sound; one that the record does not have, with a hum."""

    gives_word_times = True

    def __init__(self, sentences: Sequence[Spoken], name: str) -> None:
        super().__init__(name=name)
        self._left = list(sentences)
        delays = sorted(each.first_s for each in sentences if each.first_s is not None)
        self._usual_s = delays[len(delays) // 2] if delays else 0.1

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        spoken = self._take(text)
        if spoken is None:
            logger.info("the recorded call has no sound for %r: a hum stands in for it", text[:60])
            rate = self._left[0].sample_rate if self._left else 8000
            pcm = hum(len(text) / CHARS_PER_S, rate).astype("<i2").tobytes()
            spoken = Spoken(text=text, first_s=self._usual_s, pcm=pcm, sample_rate=rate)
        await asyncio.sleep(spoken.first_s if spoken.first_s is not None else self._usual_s)
        for word in _words(text, spoken):
            yield word
        step = int(CHUNK_S * spoken.sample_rate) * 2
        for begin in range(0, len(spoken.pcm), step):
            yield TTSAudioRawFrame(spoken.pcm[begin : begin + step], spoken.sample_rate)

    def _take(self, text: str) -> Spoken | None:
        index = next((i for i, each in enumerate(self._left) if each.text.strip() == text.strip()), None)
        return None if index is None else self._left.pop(index)


def _words(text: str, spoken: Spoken) -> list[TTSTextFrame]:
    """Each word at its recorded time; those that were not heard, spread over the rest."""
    length_s = len(spoken.pcm) / 2 / spoken.sample_rate
    pieces = units(text)
    known = [at for _, at in spoken.heard][: len(pieces)]
    rest = len(pieces) - len(known)
    begin = known[-1] if known else 0.0
    step = (length_s - begin) / (rest + 1) if known else length_s / max(rest, 1)
    times = [*known, *(begin + step * (n + (1 if known else 0)) for n in range(rest))]
    return [
        TTSTextFrame(unit.text, audio_offset_ms=at * 1000, joined=unit.joined)
        for unit, at in zip(pieces, times, strict=True)
    ]
