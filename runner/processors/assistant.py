"""The assistant's half of the memory: the words that were heard, not those that were made."""

from __future__ import annotations

from runner.frames import (
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FrameDirection,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    TTSTextFrame,
    UnspokenTextFrame,
)
from runner.processors.base import FrameProcessor
from runner.processors.context import LLMContext, Message
from runner.turns.segments import join_units


class LLMAssistantAggregator(FrameProcessor):
    """Writes down the words that were heard."""

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
        """A reply that was heard in several pieces becomes one message."""
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
