"""The two aggregators of a context, which write its messages.

The user aggregator is placed before the language model and sends it each finished turn. The assistant
aggregator is placed after `transport.output()` and records what was played, not what was generated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from runner.frames import (
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FrameDirection,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMMessagesAppendFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UnspokenTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import FrameProcessor, ProcessorSetup
from runner.processors.context import LLMContext, Message, Summarize
from runner.turns.segments import join_texts, join_units, words_of

KEYPAD_PAUSE_S = 2.0
"""Time (s) without a key after which the pressed keys become a turn; "#" ends the turn at once."""


class LLMUserAggregator(FrameProcessor):
    """Collects the user's words of a turn, and sends the context to the model when the turn is over.

    Args:
        context: the conversation.
        speculative: call the model as soon as the turn may be over; play its reply only if it was.
    """

    def __init__(self, context: LLMContext, *, speculative: bool = False) -> None:
        super().__init__()
        self.context = context
        self._speculative = speculative
        self._speaking = False
        self._stopped_at: float | None = None
        self._words: list[tuple[int, str]] = []
        self._interim = ""
        self._keys = ""
        self._waiting = 0
        self._turn: Message | None = None
        self._prepared: tuple[str, LLMContext] | None = None

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        setup.floor.on_settled(self._settled)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case TranscriptionFrame():
                await self._understood(frame, direction)
            case LLMMessagesAppendFrame():
                self.context.add_messages(frame.messages)
                if frame.run_llm:
                    await self._push_context(skip_tts=frame.skip_tts)
            case LLMRunFrame():
                await self._push_context()
            case _:
                await self.push_frame(frame, direction)
                await self._look_at(frame)

    async def _look_at(self, frame: Frame) -> None:
        match frame:
            case InterimTranscriptionFrame(text=text):
                self._interim = text if self.processor_setup.floor.takes(frame) else ""
            case InputDTMFFrame(digit=digit):
                await self._pressed(digit)
            case UserStartedSpeakingFrame():
                self._speaking = True
                self._waiting += 1
                self._prepared = None
            case UserStoppedSpeakingFrame(at=at):
                self._speaking = False
                self._stopped_at = at
                await self._consider()

    # ------------------------------------------------------------ words

    async def _understood(self, frame: TranscriptionFrame, direction: FrameDirection) -> None:
        text = frame.text.strip()
        counts = self.processor_setup.floor.takes(frame)
        if text and counts:
            self._words.append((self.processor_setup.floor.speech, text))
        if self.processor_setup.floor.speech == self.processor_setup.floor.speeches.last:
            self._interim = ""
        await self.push_frame(frame, direction)  # for the recorder and the subtitles
        if counts and not self._speaking:
            await self._consider()

    def _settled(self, counts: bool) -> None:
        """The floor has decided whether the words of this speech count, or the bot has finished."""
        if not counts:
            dismissed = self.processor_setup.floor.dismissed
            self._words = [(speech, text) for speech, text in self._words if speech not in dismissed]
            self._interim = ""
        if self._words and not self._speaking:
            self.create_task(self._consider(), "settled")

    async def _await_words(self, due: float) -> None:
        """Wait until `due` for the transcript of the last speech, which may have been no words."""
        self._waiting += 1
        self.create_task(self._ask_at(due, self._waiting), "end of turn")
        if self._speculative and self._interim:
            await self._prepare(self._text())

    def _text(self, *, interim: bool = True) -> str:
        words = [text for _, text in self._words]
        return join_texts(*words, self._interim) if interim else join_texts(*words)

    async def _consider(self) -> None:
        """Call the model if the pause is long enough for what was said, or schedule that."""
        text, floor = self._text(), self.processor_setup.floor
        if not text or floor.undecided:
            return
        if self._words and not self._speaking:
            ended_at = floor.speeches.waiting(self.processor_setup.clock())
            if ended_at is None and self._interim:
                ended_at = self._stopped_at
            if ended_at is not None:
                await self._await_words(ended_at + floor.speeches.wait_s)
                return
        pause_s = await self._pause_s(text)
        due = 0.0 if self._stopped_at is None else self._stopped_at + pause_s
        if self._words and due <= self.processor_setup.clock():
            await self._ask()
            return
        if self._speculative and not self._speaking:
            await self._prepare(text)
        if self._words:
            self._waiting += 1
            self.create_task(self._ask_at(due, self._waiting), "end of turn")

    async def _pause_s(self, text: str) -> float:
        analyzer = self.processor_setup.floor.turn_analyzer
        return await asyncio.to_thread(analyzer.pause_s, text) if analyzer.slow else analyzer.pause_s(text)

    async def _ask_at(self, due: float, waiting: int) -> None:
        await asyncio.sleep(max(due - self.processor_setup.clock(), 0.0))
        if waiting == self._waiting and not self._speaking:
            if self._interim:
                self._words.append((self.processor_setup.floor.speeches.last, self._interim))
                self._interim = ""
            await self._ask()

    # ------------------------------------------------------------ turns

    async def _ask(self) -> None:
        """End the turn: release the prepared reply, or call the model."""
        text = self._text(interim=False)
        if not text or self.processor_setup.floor.undecided:
            return
        self._words.clear()
        self._waiting += 1
        self.processor_setup.floor.turn_analyzer.reset()
        prepared, self._prepared = self._prepared, None
        if (
            prepared is not None
            and words_of(prepared[0]) == words_of(text)
            and self.processor_setup.replies.holding
        ):
            self._write(text)
            # The tools of the prepared reply write to the real context from now on.
            prepared[1].messages = self.context.messages
            self.processor_setup.replies.release()
            return
        await self.processor_setup.floor.cut_in()
        self._write(text)
        await self._ask_model()

    async def _ask_model(self) -> None:
        if not self.processor_setup.conversation.leave_answer():
            await self._push_context()

    def _write(self, text: str) -> None:
        """Add the user's text, to the same message if nothing was answered in between."""
        messages = self.context.messages
        if self._turn is not None and messages and messages[-1] is self._turn:
            self._turn["content"] = join_texts(self._turn["content"], text)
        else:
            self.context.add("user", text)
            self._turn = messages[-1]

    async def _prepare(self, text: str) -> None:
        """Prepare a reply before it is certain that the turn is over."""
        if self.processor_setup.conversation.leaves:
            return
        if self._prepared is not None and words_of(self._prepared[0]) == words_of(text):
            return
        if self._prepared is not None:
            await self.processor_setup.floor.cut_in()
        elif self.processor_setup.floor.bot.busy:
            return
        messages = self.context.messages
        if self._turn is not None and messages and messages[-1] is self._turn:
            forked = self.context.fork()
            forked.messages[-1] = {"role": "user", "content": join_texts(self._turn["content"], text)}
        else:
            forked = self.context.fork({"role": "user", "content": text})
        self._prepared = (text, forked)
        self.processor_setup.replies.hold()
        await self._push_context(forked)

    async def _push_context(self, context: LLMContext | None = None, *, skip_tts: bool = False) -> None:
        await self.push_frame(LLMContextFrame(context or self.context, skip_tts))

    # ------------------------------------------------------------ keys

    async def _pressed(self, digit: str) -> None:
        if not self._keys:
            await self.processor_setup.floor.cut_in()
        self._keys += digit
        self._waiting += 1
        if digit == "#":
            await self._keyed()
        else:
            self.create_task(self._keyed_at(self._waiting), "keys")

    async def _keyed_at(self, waiting: int) -> None:
        await asyncio.sleep(KEYPAD_PAUSE_S)
        if waiting == self._waiting:
            await self._keyed()

    async def _keyed(self) -> None:
        keys, self._keys = self._keys, ""
        self.context.add("user", f"(keys pressed: {keys})")
        await self._ask_model()


class LLMAssistantAggregator(FrameProcessor):
    """Adds the words that were played to the context."""

    def __init__(self, context: LLMContext) -> None:
        super().__init__()
        self.context = context
        self._words: list[tuple[str, bool]] = []
        self._reply_id: int | None = None
        self._written: Message | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case TTSTextFrame() | UnspokenTextFrame():
                if frame.reply_id != self._reply_id:
                    self._commit()
                    self._written = None
                    self._reply_id = frame.reply_id
                self._words.append((frame.text.strip(), frame.joined))
            case InterruptionFrame() | LLMFullResponseEndFrame() | BotStoppedSpeakingFrame() | EndFrame():
                self._commit()
        await self.push_frame(frame, direction)

    def _commit(self) -> None:
        """Write the collected words; pieces of one reply become one message."""
        words = [(text, joined) for text, joined in self._words if text]
        self._words.clear()
        if not words:
            return
        last = self.context.messages[-1] if self.context.messages else None
        if last is not None and last is self._written:
            last["content"] = join_units([(last["content"], False), *words])
        else:
            self.context.add("assistant", join_units(words))
            self._written = self.context.messages[-1]

    async def cleanup(self) -> None:
        self._commit()


logger = logging.getLogger(__name__)


class LLMContextAggregatorPair:
    """The two aggregators of one context.

    ```python
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": "Be kind."}]))
    Pipeline([transport.input(), stt, memory.user(), llm, tts, transport.output(), memory.assistant()])
    ```

    Args:
        context: the conversation.
        speculative: call the model as soon as the user's turn may be over, and drop the reply if the user
            continues: faster answers, more tokens.
        summarize: when and how to shorten a long conversation.
    """

    def __init__(
        self, context: LLMContext, *, speculative: bool = False, summarize: Summarize | None = None
    ) -> None:
        self.context = context
        self._user = LLMUserAggregator(context, speculative=speculative)
        self._assistant = _Assistant(context, summarize)

    def __iter__(self) -> Iterator[LLMUserAggregator | LLMAssistantAggregator]:
        """Allow `user, assistant = LLMContextAggregatorPair(context)`, as Pipecat does."""
        return iter((self._user, self._assistant))

    def user(self) -> LLMUserAggregator:
        """The user aggregator; place it before the language model."""
        return self._user

    def assistant(self) -> LLMAssistantAggregator:
        """The assistant aggregator; place it after `transport.output()`."""
        return self._assistant


class _Assistant(LLMAssistantAggregator):
    """Also checks after each new message whether the conversation needs a summary."""

    def __init__(self, context: LLMContext, summarize: Summarize | None) -> None:
        super().__init__(context)
        self.name = "LLMAssistantAggregator"
        self._summarize = summarize
        self._summing_up = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        before = len(self.context.messages)
        await super().process_frame(frame, direction)
        if self._summarize is None or len(self.context.messages) == before or self._summing_up:
            return
        if self._summarize.is_due(self.context.messages):
            self._summing_up = True
            self.create_task(self._shorten(self._summarize), "summary")

    async def _shorten(self, summarize: Summarize) -> None:
        try:
            await summarize.shorten(self.context)
        except Exception as error:  # the boundary to the language model's code
            logger.warning("summary of the conversation failed, its messages stay: %s", error)
        finally:
            self._summing_up = False
