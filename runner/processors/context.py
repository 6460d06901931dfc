"""The conversation's memory, and the two aggregators that write it.

The user's aggregator stands before the language model and turns what was said into a question to it.
The assistant's stands behind `transport.output()` and writes down what was heard, not what was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runner.frames import (
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FrameDirection,
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
from runner.processors.base import FrameProcessor

Message = dict[str, Any]


class LLMContext:
    """The messages of a conversation, in the shape of OpenAI's chat API, and the tools on offer."""

    def __init__(
        self, messages: Iterable[Mapping[str, Any]] = (), tools: Iterable[Any] | None = None
    ) -> None:
        self.messages: list[Message] = [dict(message) for message in messages]
        self.tools: list[Any] = list(tools or ())

    def add(self, role: str, content: str) -> None:
        """Append one message."""
        self.messages.append({"role": role, "content": content})

    def last_user_text(self) -> str:
        """What the user said last; empty if nothing yet."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return str(message.get("content") or "")
        return ""


class LLMUserAggregator(FrameProcessor):
    """Collects the user's words of one turn, and asks the model when the turn is over."""

    def __init__(self, context: LLMContext) -> None:
        super().__init__()
        self.context = context
        self._speaking = False
        self._words: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case TranscriptionFrame(text=text) if text.strip():
                self._words.append(text.strip())
                await self.push_frame(frame, direction)  # for the recorder and the subtitles
                if not self._speaking:
                    await self._ask()
            case LLMMessagesAppendFrame():
                self.context.messages.extend(dict(message) for message in frame.messages)
                if frame.run_llm:
                    await self._push_context(frame.skip_tts)
            case LLMRunFrame():
                await self._push_context()
            case UserStartedSpeakingFrame():
                self._speaking = True
                await self.push_frame(frame, direction)
            case UserStoppedSpeakingFrame():
                self._speaking = False
                await self.push_frame(frame, direction)
                await self._ask()
            case _:
                await self.push_frame(frame, direction)

    async def _ask(self) -> None:
        if not self._words:
            return
        self.context.add("user", " ".join(self._words))
        self._words.clear()
        await self._push_context()

    async def _push_context(self, skip_tts: bool = False) -> None:
        await self.push_frame(LLMContextFrame(self.context, skip_tts))


class LLMAssistantAggregator(FrameProcessor):
    """Writes down the words that were heard."""

    def __init__(self, context: LLMContext) -> None:
        super().__init__()
        self.context = context
        self._words: list[str] = []
        self._reply_id: int | None = None
        self._written: Message | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case TTSTextFrame() | UnspokenTextFrame():
                if frame.reply_id != self._reply_id:
                    self._commit()
                    self._written = None
                    self._reply_id = frame.reply_id
                self._words.append(frame.text.strip())
            case InterruptionFrame() | LLMFullResponseEndFrame() | BotStoppedSpeakingFrame() | EndFrame():
                self._commit()
        await self.push_frame(frame, direction)

    def _commit(self) -> None:
        """A reply that was heard in several pieces becomes one message."""
        text = " ".join(word for word in self._words if word)
        self._words.clear()
        if not text:
            return
        last = self.context.messages[-1] if self.context.messages else None
        if last is not None and last is self._written:
            last["content"] = f"{last['content']} {text}"
        else:
            self.context.add("assistant", text)
            self._written = self.context.messages[-1]

    async def cleanup(self) -> None:
        self._commit()


class LLMContextAggregatorPair:
    """The two aggregators of one context.

    ```python
    memory = LLMContextAggregatorPair(LLMContext([{"role": "system", "content": "Be kind."}]))
    Pipeline([transport.input(), stt, memory.user(), llm, tts, transport.output(), memory.assistant()])
    ```
    """

    def __init__(self, context: LLMContext) -> None:
        self.context = context
        self._user = LLMUserAggregator(context)
        self._assistant = LLMAssistantAggregator(context)

    def user(self) -> LLMUserAggregator:
        """Stands before the language model."""
        return self._user

    def assistant(self) -> LLMAssistantAggregator:
        """Stands behind `transport.output()`."""
        return self._assistant
