"""Knows whether anybody speaks, or is about to: the moment at which a call may change its code."""

from __future__ import annotations

from runner.clock import Clock
from runner.conversation import Conversation
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.observer import Observer
from runner.processors.base import FrameProcessor

MESSAGE_S, TRANSCRIPT_S, MODEL_S, VOICE_S, PAUSE_S = 0.3, 1.5, 5.0, 2.0, 0.15
"""How long (s) what follows is waited for: on a message, on speech, on a question to the model, on its
answer, and between two sentences of the bot's."""


_WORDS = {
    "user": "the caller speaks",
    "bot": "the bot speaks",
    "tool": "a tool runs",
    "model": "the model answers",
}
EXPECTED = "an answer is expected"


class SilenceWatch(Observer):
    """Tells a conversation whether it is silent, and remembers that the bot was heard."""

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        FunctionCallCancelFrame,
        FunctionCallInProgressFrame,
        FunctionCallResultFrame,
        InputTransportMessageFrame,
        InterruptionFrame,
        LLMContextFrame,
        LLMFullResponseEndFrame,
        LLMFullResponseStartFrame,
        TTSSpeakFrame,
        TranscriptionFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, conversation: Conversation, clock: Clock) -> None:
        self._conversation = conversation
        self._clock = clock
        self._busy: set[str] = set()
        self._expect_until = 0.0

    def busy(self) -> str:
        """What goes on, or is about to; "" in a silence."""
        if self._conversation.owes_answer and "user" not in self._busy:
            return ""
        found = next(
            (words for kind, words in _WORDS.items() if any(b.startswith(kind) for b in self._busy)), ""
        )
        return found or (EXPECTED if self._clock() < self._expect_until else "")

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case BotStartedSpeakingFrame():
                self._conversation.spoken = True
                self._busy.add("bot")
                self._expect_until = 0.0
            case BotStoppedSpeakingFrame():
                self._busy.discard("bot")
                self._expect(PAUSE_S)
            case UserStartedSpeakingFrame():
                self._busy.add("user")
            case UserStoppedSpeakingFrame():
                self._busy.discard("user")
                self._expect(TRANSCRIPT_S)
            case LLMFullResponseStartFrame():
                self._busy.add("model")
            case LLMFullResponseEndFrame():
                self._busy.discard("model")
                self._expect(VOICE_S)
            case InterruptionFrame():
                self._busy -= {"bot", "model"}
                self._expect_until = self._clock() + MESSAGE_S
            case FunctionCallInProgressFrame():
                self._busy.add(f"tool {frame.call.tool_call_id}")
            case FunctionCallResultFrame() | FunctionCallCancelFrame():
                self._busy.discard(f"tool {frame.call.tool_call_id}")
                self._expect(MODEL_S)
            case LLMContextFrame():
                self._expect(MODEL_S)
            case TTSSpeakFrame():
                self._expect(VOICE_S)
            case InputTransportMessageFrame() | TranscriptionFrame():
                self._expect(MESSAGE_S)

    def _expect(self, secs: float) -> None:
        self._expect_until = max(self._expect_until, self._clock() + secs)
