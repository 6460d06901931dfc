"""A whole conversation with scripted services or a bot of your own, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from runner.arguments import InProcessRunnerArguments
from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndTaskFrame,
    Frame,
    TranscriptionFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineParams, PipelineRunner, PipelineTask
from runner.pipeline.pipeline import stand_ins
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair, Summarize
from runner.processors.aggregators import LLMUserAggregator
from runner.processors.base import UPSTREAM
from runner.services.llm import LLMService
from runner.services.stt import STTService
from runner.services.tts import TTSService
from runner.testing.fakes import (
    FakeOutput,
    FakeTransport,
    Line,
    Recorder,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    Seen,
)
from runner.testing.virtual_time import run_virtual
from runner.transports.params import TransportParams
from runner.turns.end_of_turn import TurnAnalyzer
from runner.turns.segments import join_units, words_of

LONGEST_S = 300.0
WITHIN_S = 60.0
"""Time (virtual s) after which waiting in a script fails the test."""

_EVENTS: dict[type[Frame], str] = {
    UserStartedSpeakingFrame: "user starts",
    UserStoppedSpeakingFrame: "user stops",
    BotStartedSpeakingFrame: "bot starts",
    BotStoppedSpeakingFrame: "bot stops",
    BotPausedSpeakingFrame: "bot pauses",
    BotResumedSpeakingFrame: "bot resumes",
}

Bot = Callable[[Any], Awaitable[None]]


class ConversationError(AssertionError):
    """The conversation did not go as the script expects; the message has its timeline."""


class Conversation:
    """A caller and a bot with scripted services, or your own `bot()`. Create it, `run` a script, then check
    what was heard.

    ```python
    it = Conversation("Good morning.", interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("hello")
        await it.bot_says("good morning")
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "hello"), ("assistant", "Good morning.")]
    ```

    With `bot=my_bot.bot` your own function runs, with its pipeline, processors, tools and event handlers. Its
    recogniser and voice are replaced by scripted ones, and its language model too if `replies` are given. It
    must create its transport with `create_transport`.

    Args:
        replies: what the language model answers, in order.
        bot: the bot's own function.
        transport: the key of the bot's parameters in `create_transport`, such as "webrtc" or "twilio".
        body: `runner_args.body`.
        tools: functions that the scripted model may call.
        vad: delays of the VAD.
        stt_s: time (s) from the VAD's stop to the transcript.
        llm_s: time (s) from the question to the first word.
        llm_word_s: time (s) between words of the answer.
        tts_s: time (s) from a sentence to its first sound.
        word_s: duration (s) of each spoken word.
        speculative: as for `LLMContextAggregatorPair`.
        summarize: as for `LLMContextAggregatorPair`.
        turn_analyzer: as in `TransportParams`.
        between: processors between the language model and the voice.
        params: arguments of `PipelineParams`, such as `interruption_strategy`.
    """

    def __init__(
        self,
        *replies: str | Sequence[Line],
        bot: Bot | None = None,
        transport: str = "webrtc",
        body: Any = None,
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
        self._vad = vad or ScriptedVAD()
        self.transport = FakeTransport(carries, vad=self._vad)
        self.caller = self.transport.caller
        self.stt = ScriptedSTT(self.caller, final_s=stt_s, interim=interim)
        self.llm = ScriptedLLM(replies, first_s=llm_s, word_s=llm_word_s)
        self.tts = ScriptedTTS(first_s=tts_s, word_s=word_s)
        self.context = LLMContext(tools=tools)
        self.heard = Recorder()
        self._bot, self._kind, self._body = bot, transport, body
        self._scripted_llm = bool(replies)
        self._waits: list[tuple[float, str]] = []
        self._built = False
        if bot is None:
            memory = LLMContextAggregatorPair(self.context, speculative=speculative, summarize=summarize)
            self._row = [
                self.transport.input(), self.stt, memory.user(), self.llm, *between, self.tts,
                self.transport.output(), self.heard, memory.assistant(),
            ]  # fmt: skip
        self._params = params

    def run(self, script: Callable[[], Awaitable[None]]) -> Conversation:
        """Run the call until the script and the bot have finished.

        Raises:
            ConversationError: the script waited too long. Errors of the script or the bot are raised
                unchanged, with the conversation's timeline as a note.
        """
        __tracebackhide__ = True
        try:
            run_virtual(self._both(script), LONGEST_S)
        except BaseExceptionGroup as group:
            failure = _first(group)
        except TimeoutError:
            failure = ConversationError(f"the conversation is not over after {LONGEST_S:.0f} s")
        else:
            return self
        failure.add_note(self.timeline())
        raise failure.with_traceback(_users_part(failure.__traceback__)) from None

    async def _both(self, script: Callable[[], Awaitable[None]]) -> None:
        async def play() -> None:
            await asyncio.sleep(0.01)
            await script()
            if self._bot is None:
                await self.task.stop_when_done()
            elif not bot.done():
                await self.caller.push_frame(EndTaskFrame(), UPSTREAM)

        async with asyncio.TaskGroup() as group:
            bot = group.create_task(self._run_bot() if self._bot is not None else self._run_scripted())
            group.create_task(play())

    async def _run_scripted(self) -> None:
        self.task = PipelineTask(Pipeline(self._row), params=PipelineParams(**self._params))
        await PipelineRunner().run(self.task)

    async def _run_bot(self) -> None:
        assert self._bot is not None
        stand_ins.set(self._stand_in)
        body = {} if self._body is None else self._body
        arguments = InProcessRunnerArguments(
            body=body, transport=self._kind, make_transport=self._make_transport
        )
        await self._bot(arguments)

    def _make_transport(self, params: TransportParams) -> FakeTransport:
        """The transport exists before the bot runs, so that scripts can use its caller; here it gets the
        bot's parameters, with a scripted VAD."""
        params.vad_analyzer = None
        self.caller.params = self.transport.listener.params = params
        return self.transport

    def _stand_in(self, processor: FrameProcessor) -> Sequence[FrameProcessor]:
        match processor:
            case FakeOutput():
                return [processor, self.heard]
            case STTService():
                return [self.stt]
            case TTSService():
                return [self.tts]
            case LLMService() if self._scripted_llm:
                self.llm.share_tools(processor)
                return [self.llm]
            case LLMUserAggregator():
                self.context = processor.context
        return [processor]

    # ------------------------------------------------------------ for scripts

    async def bot_says(self, text: str, *, within_s: float = WITHIN_S) -> None:
        """Wait until the caller has heard these words. Ignores case and punctuation."""
        wanted = words_of(text)
        with self._waiting(f"the bot says {text!r}"):
            await self._until(lambda: _contains(words_of(self.said()), wanted), within_s)

    async def bot_is_silent(self, seconds: float = 1.0, *, within_s: float = WITHIN_S) -> None:
        """Wait until the bot stops speaking (after now) and has then been silent for `seconds`."""
        stops = len(self.heard.of(BotStoppedSpeakingFrame))

        def silent() -> bool:
            turns = self.heard.of(BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
            stopped = turns and isinstance(turns[-1].frame, BotStoppedSpeakingFrame)
            silent_s = asyncio.get_running_loop().time() - turns[-1].at if stopped else 0.0
            return len(self.heard.of(BotStoppedSpeakingFrame)) > stops and silent_s >= seconds

        with self._waiting(f"the bot speaks and is then silent for {seconds:g} s"):
            await self._until(silent, within_s)

    @contextlib.contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        entry = asyncio.get_running_loop().time(), what
        self._waits.append(entry)
        try:
            yield
        except TimeoutError:
            raise ConversationError(f"gave up waiting until {what}") from None
        self._waits.remove(entry)

    async def _until(self, holds: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.01)

    # ------------------------------------------------------------ results

    def said(self) -> str:
        """Everything that the caller has heard, with the original spacing."""
        frames = [seen.frame for seen in self.heard.seen if isinstance(seen.frame, TTSTextFrame)]
        return join_units((frame.text, frame.joined) for frame in frames)

    def words(self) -> list[str]:
        """The words that the caller has heard."""
        return [seen.frame.text for seen in self.heard.seen if isinstance(seen.frame, TTSTextFrame)]

    def events(self) -> list[str]:
        """Who started and stopped, in order."""
        return [_EVENTS[type(seen.frame)] for seen in self.heard.seen if type(seen.frame) in _EVENTS]

    def remembered(self) -> list[tuple[str, str]]:
        """Role and text of each message."""
        return [(m["role"], m["content"]) for m in self.context.messages if m.get("content")]

    def when(self, kind: type[Frame], index: int = -1) -> float:
        """The time (s) at which a frame of this type was recorded; by default the last one."""
        return self.heard.of(kind)[index].at

    def timeline(self) -> str:
        """What was said, understood, heard and waited for, one timed line each."""
        return timeline(self.caller.said, self.heard.seen, self._waits)


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    count = len(wanted)
    return any(words[at : at + count] == wanted for at in range(len(words) - count + 1))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    failure: BaseException = group
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _users_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the test's own line on, without frames of the event loop and of botrun."""
    here = Path(__file__).parent
    step = traceback
    while step is not None:
        file = Path(step.tb_frame.f_code.co_filename)
        if file.parent != here and "asyncio" not in file.parts:
            return _without_ours(step, here)
        step = step.tb_next
    return traceback


def _without_ours(step: TracebackType, here: Path) -> TracebackType:
    """Cut the frames of this module at the end; they add nothing to the message."""
    last, following = step, step.tb_next
    while following is not None and Path(following.tb_frame.f_code.co_filename).parent != here:
        last, following = following, following.tb_next
    last.tb_next = None
    return step


Entry = tuple[float, str, str]


def timeline(
    said: Sequence[tuple[float, str]], seen: Sequence[Seen], waits: Sequence[tuple[float, str]]
) -> str:
    """What the caller said, what was understood and heard, and what the test was waiting for."""
    entries: list[Entry] = [(at, "caller says", repr(text)) for at, text in said]
    entries += _heard(seen)
    entries += [(at, "test waits", f"until {what}") for at, what in waits]
    lines = [f"{at:7.2f} s  {who:<14} {what}".rstrip() for at, who, what in sorted(entries)]
    return "\n".join(["timeline of the conversation:", *(lines or ["  nothing was said or heard"])])


def _heard(seen: Sequence[Seen]) -> list[Entry]:
    entries: list[Entry] = []
    words: list[tuple[str, bool]] = []
    began = 0.0

    def finish() -> None:
        if words:
            entries.append((began, "bot is heard", repr(join_units(words))))
            words.clear()

    for item in seen:
        match item.frame:
            case TTSTextFrame(text=text, joined=joined):
                began = began if words else item.at
                words.append((text, joined))
            case TranscriptionFrame(text=text):
                entries.append((item.at, "understood", repr(text)))
            case BotStoppedSpeakingFrame(interrupted=interrupted):
                finish()
                entries.append((item.at, "bot stops", "interrupted" if interrupted else ""))
            case BotPausedSpeakingFrame():
                entries.append((item.at, "bot pauses", ""))
            case BotResumedSpeakingFrame():
                entries.append((item.at, "bot resumes", ""))
    finish()
    return entries
