"""Knows whether anybody speaks, or is about to: the moment at which a call may change its code."""

from __future__ import annotations

from runner.eventloop.clock import Clock
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
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.observer import Observer
from runner.processors.base import FrameProcessor
from runner.processors.bot_state import BotState
from runner.processors.handover_state import Conversation

MESSAGE_S, TRANSCRIPT_S, MODEL_S, VOICE_S, PAUSE_S = 0.3, 1.5, 5.0, 2.0, 0.15
"""How long (s) what follows is waited for: on a message, on speech, on a question to the model, on what is to
be said, and between two sentences of the bot's."""

EXPECTED = "an answer is expected"


class SilenceWatch(Observer):
    """Tells a conversation whether it is silent, and remembers that the bot was heard.

    Args:
        conversation: told.
        clock: s.
        bot: how far the bot's replies are.
    """

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        FunctionCallCancelFrame,
        FunctionCallInProgressFrame,
        FunctionCallResultFrame,
        InputTransportMessageFrame,
        InterruptionFrame,
        LLMContextFrame,
        LLMFullResponseStartFrame,
        TTSSpeakFrame,
        TTSStartedFrame,
        TranscriptionFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, conversation: Conversation, clock: Clock, bot: BotState) -> None:
        self._conversation = conversation
        self._clock = clock
        self._bot = bot
        self._user_speaks = False
        self._tools: set[str] = set()
        self._expect_until = 0.0

    def busy(self) -> str:
        """What goes on, or is about to; "" in a silence."""
        if self._user_speaks:
            return "the caller speaks"
        if self._conversation.owes_answer:
            return ""
        if self._bot.state.bot_speaking:
            return "the bot speaks"
        if self._tools:
            return "a tool runs"
        if self._bot.busy:
            return "the bot answers"
        return EXPECTED if self._clock() < self._expect_until else ""

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case BotStartedSpeakingFrame():
                self._conversation.spoken = True
                self._expect_until = 0.0
            case BotStoppedSpeakingFrame():
                self._expect(PAUSE_S)
            case UserStartedSpeakingFrame():
                self._user_speaks = True
            case UserStoppedSpeakingFrame():
                self._user_speaks = False
                self._expect(TRANSCRIPT_S)
            case LLMFullResponseStartFrame() | TTSStartedFrame():
                self._expect_until = 0.0  # it has come, and `bot` follows it to its end
            case InterruptionFrame():
                self._expect_until = self._clock() + MESSAGE_S
            case FunctionCallInProgressFrame():
                self._tools.add(frame.call.tool_call_id)
            case FunctionCallResultFrame() | FunctionCallCancelFrame():
                self._tools.discard(frame.call.tool_call_id)
                self._expect(MODEL_S)
            case LLMContextFrame():
                self._expect(MODEL_S)
            case TTSSpeakFrame():
                self._expect(VOICE_S)
            case InputTransportMessageFrame() | TranscriptionFrame():
                self._expect(MESSAGE_S)

    def _expect(self, secs: float) -> None:
        self._expect_until = max(self._expect_until, self._clock() + secs)
