"""Tracks who speaks: ends idle calls, prompts silent users, finds the pause in which to reload code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from runner.eventloop.clock import Clock
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FrameDirection,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline.params import Observer
from runner.processors.base import FrameProcessor
from runner.processors.floor_state import BotState
from runner.processors.handover_state import Conversation
from runner.turns.end_of_turn import AskLLM, EndCall, IdlePrompt, Say

IDLE = "idle"
"""The end reason of an idle run."""


class IdleWatch(Observer):
    """Calls `finish("idle")` when neither side has spoken or typed for `timeout_s`."""

    frame_types = (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        InputTransportMessageFrame,
        LLMContextFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, timeout_s: float, clock: Clock, finish: Callable[[str], None]) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._finish = finish
        self._last = clock()
        self._speaking: set[str] = set()

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        self._last = self._clock()
        match frame:
            case BotStartedSpeakingFrame():
                self._speaking.add("bot")
            case BotStoppedSpeakingFrame():
                self._speaking.discard("bot")
            case UserStartedSpeakingFrame():
                self._speaking.add("user")
            case UserStoppedSpeakingFrame():
                self._speaking.discard("user")

    async def run(self) -> None:
        """Wait for the silence, then finish the call."""
        await self.silence()
        self._finish(IDLE)

    async def silence(self) -> None:
        """Wait until neither side has been active for `timeout_s`."""
        while True:
            quiet_s = 0.0 if self._speaking else self._clock() - self._last
            if quiet_s >= self._timeout_s:
                return
            await asyncio.sleep(max(self._timeout_s - quiet_s, 0.01))


class Prompting(IdleWatch):
    """Takes the next step of an `IdlePrompt` after each silence; the user's speech restarts it."""

    def __init__(self, prompt: IdlePrompt, clock: Clock, queue: Callable[[Frame], Awaitable[None]]) -> None:
        super().__init__(prompt.after_s, clock, lambda reason: None)
        self._prompt = prompt
        self._queue = queue
        self._taken = 0

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        await super().on_push_frame(source, frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            self._taken = 0

    async def run(self) -> None:
        while True:
            await self.silence()
            step = self._prompt.step(self._taken)
            self._taken += 1
            self._last = self._clock()
            if step is not None:
                await self._take(step)

    async def _take(self, step: Say | AskLLM | EndCall) -> None:
        match step:
            case Say(text=text):
                await self._queue(TTSSpeakFrame(text))
            case AskLLM(instruction=instruction):
                await self._queue(LLMMessagesAppendFrame([{"role": "system", "content": instruction}]))
            case EndCall(text=text):
                if text:
                    await self._queue(TTSSpeakFrame(text))
                await self._queue(EndFrame(reason="the user said nothing"))


MESSAGE_S, TRANSCRIPT_S, MODEL_S, VOICE_S, PAUSE_S = 0.3, 1.5, 5.0, 2.0, 0.15
"""How long (s) to expect the next step: after a client message, the user's speech, a request to the model,
text sent to the TTS, and between two sentences of the bot."""

EXPECTED = "an answer is expected"


class SilenceWatch(Observer):
    """Tracks whether a conversation is silent, and whether the bot has spoken.

    Args:
        conversation: the call that may be moved to new code.
        clock: the call's clock (s).
        bot: the state of the bot's replies.
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
        self._paused_until = 0.0

    def bot_speaks(self) -> bool:
        """Whether the bot is preparing or speaking a reply, or has just finished a sentence of one."""
        return self._bot.busy or self._clock() < self._paused_until

    def busy(self) -> str:
        """What is happening or about to happen; "" in a silence."""
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
                self._paused_until = self._clock() + PAUSE_S
            case UserStartedSpeakingFrame():
                self._user_speaks = True
            case UserStoppedSpeakingFrame():
                self._user_speaks = False
                self._expect(TRANSCRIPT_S)
            case LLMFullResponseStartFrame() | TTSStartedFrame():
                self._expect_until = 0.0  # it has begun, and `bot` tracks the rest
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
