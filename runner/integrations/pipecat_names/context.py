"""The context's aggregators with `user_params`, turn strategies, and events at the end of a turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runner.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    InterruptionFrame,
    LLMContextFrame,
    UserStartedSpeakingFrame,
)
from runner.processors import aggregators as ours
from runner.processors.context import LLMContext, OpenAILLMContext
from runner.transports.base import Events, HandlerT
from runner.turns import (
    InterruptionStrategy,
    MinWords,
    MuteDuringTools,
    MuteUntilBotSpoke,
    MuteWhileBotSpeaks,
    TurnAnalyzer,
)
from runner.turns.interruption import Mute
from runner.turns.segments import join_units
from runner.vad import VADAnalyzer

__all__ = [
    "AlwaysUserMuteStrategy",
    "AssistantTurnStoppedMessage",
    "FunctionCallUserMuteStrategy",
    "LLMAssistantAggregator",
    "LLMAssistantAggregatorParams",
    "LLMContext",
    "LLMContextAggregatorPair",
    "LLMUserAggregator",
    "LLMUserAggregatorParams",
    "MinWordsUserTurnStartStrategy",
    "MuteUntilFirstBotCompleteUserMuteStrategy",
    "OpenAILLMContext",
    "SpeechTimeoutUserTurnStopStrategy",
    "TranscriptionUserTurnStartStrategy",
    "TurnAnalyzerUserTurnStopStrategy",
    "UserTurnStoppedMessage",
    "UserTurnStrategies",
    "VADUserTurnStartStrategy",
]

# ------------------------------------------------------------------ strategies

FunctionCallUserMuteStrategy = MuteDuringTools
MuteUntilFirstBotCompleteUserMuteStrategy = MuteUntilBotSpoke
AlwaysUserMuteStrategy = MuteWhileBotSpeaks


class VADUserTurnStartStrategy:
    """A turn begins with speech, as it always does here."""


class TranscriptionUserTurnStartStrategy:
    """A turn begins with words, as it always does here where the VAD has missed them."""

    def __init__(self, *, use_interim: bool = True) -> None:
        self.use_interim = use_interim


class MinWordsUserTurnStartStrategy:
    """Fewer words do not interrupt the bot."""

    def __init__(self, *, min_words: int, use_interim: bool = True) -> None:
        self.interruption_strategy = MinWords(min_words)


class SpeechTimeoutUserTurnStopStrategy:
    """A turn ends after a pause, which here depends on the words."""

    def __init__(self, *, user_speech_timeout: float = 0.6) -> None:
        self.user_speech_timeout = user_speech_timeout


class TurnAnalyzerUserTurnStopStrategy:
    """A turn ends where the analyzer says so."""

    def __init__(self, *, turn_analyzer: TurnAnalyzer) -> None:
        self.turn_analyzer = turn_analyzer


@dataclass(kw_only=True)
class UserTurnStrategies:
    """When the user's turn begins and ends."""

    start: Sequence[Any] = ()
    stop: Sequence[Any] = ()


# ------------------------------------------------------------------ parameters and messages


@dataclass(kw_only=True)
class LLMUserAggregatorParams:
    """Parameters of the user's aggregator.

    Attributes:
        vad_analyzer: detects speech, in the transport.
        user_turn_strategies: their turn analyzer and number of words count; the rest is what botrun does.
        user_mute_strategies: when the user is not listened to.
        user_turn_stop_timeout, aggregation_timeout, enable_emulated_vad_interruptions: not needed here.
    """

    vad_analyzer: VADAnalyzer | None = None
    user_turn_strategies: UserTurnStrategies | None = None
    user_mute_strategies: Sequence[Mute] = ()
    user_turn_stop_timeout: float = 5.0
    aggregation_timeout: float = 0.5
    enable_emulated_vad_interruptions: bool = False

    @property
    def turn_analyzer(self) -> TurnAnalyzer | None:
        """Of the strategy that has one."""
        stops = self.user_turn_strategies.stop if self.user_turn_strategies else ()
        return next((found for one in stops if (found := getattr(one, "turn_analyzer", None))), None)

    @property
    def interruption_strategy(self) -> InterruptionStrategy | None:
        """Of the strategy that has one."""
        starts = self.user_turn_strategies.start if self.user_turn_strategies else ()
        return next((found for one in starts if (found := getattr(one, "interruption_strategy", None))), None)


@dataclass(kw_only=True)
class LLMAssistantAggregatorParams:
    """Parameters of the assistant's aggregator. Words are always written as they were heard."""

    expect_stripped_words: bool = True
    correct_aggregation_callback: Any = None


@dataclass(kw_only=True)
class UserTurnStoppedMessage:
    """What the user said in a turn. `timestamp`: ISO 8601, UTC."""

    content: str
    timestamp: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    user_id: str | None = None


@dataclass(kw_only=True)
class AssistantTurnStoppedMessage:
    """What was heard of a reply. `timestamp`: ISO 8601, UTC."""

    content: str
    interrupted: bool = False
    timestamp: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))


# ------------------------------------------------------------------ aggregators


class LLMUserAggregator(ours.LLMUserAggregator):
    """The user's aggregator, with events.

    Events, each `handler(aggregator, …)`: `on_user_turn_started(strategy)` and
    `on_user_turn_stopped(strategy, message)`. The strategy is always None: botrun has its own.
    """

    def __init__(self, context: LLMContext, *, params: LLMUserAggregatorParams | None = None) -> None:
        super().__init__(context)
        self.params = params or LLMUserAggregatorParams()
        self.events = Events(self, "on_user_turn_started", "on_user_turn_stopped")

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(aggregator, …)` to run it on an event."""
        return self.events.handler(name)

    def get_context_frame(self) -> LLMContextFrame:
        """Asks the model to answer the context, as older bots do; `LLMRunFrame()` is the same."""
        return LLMContextFrame(self.context)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, UserStartedSpeakingFrame):
            self.events.emit("on_user_turn_started", None)

    def _write(self, text: str) -> None:
        super()._write(text)
        self.events.emit("on_user_turn_stopped", None, UserTurnStoppedMessage(content=text))

    async def cleanup(self) -> None:
        await super().cleanup()
        await self.events.aclose()


class LLMAssistantAggregator(ours._Assistant):
    """The assistant's aggregator, with the event `on_assistant_turn_stopped(aggregator, message)`: what the
    caller has heard when the bot stops speaking."""

    def __init__(self, context: LLMContext, *, params: LLMAssistantAggregatorParams | None = None) -> None:
        super().__init__(context, None)
        self.params = params or LLMAssistantAggregatorParams()
        self.events = Events(self, "on_assistant_turn_stopped")
        self._interrupted = False

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(aggregator, …)` to run it on an event."""
        return self.events.handler(name)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case InterruptionFrame() | BotStoppedSpeakingFrame(interrupted=True):
                self._interrupted = True
            case _:
                self._interrupted = False
        await super().process_frame(frame, direction)

    def _commit(self) -> None:
        words = [(text, joined) for text, joined in self._words if text]
        super()._commit()
        if words:
            message = AssistantTurnStoppedMessage(content=join_units(words), interrupted=self._interrupted)
            self.events.emit("on_assistant_turn_stopped", message)

    async def cleanup(self) -> None:
        await super().cleanup()
        await self.events.aclose()


class LLMContextAggregatorPair(ours.LLMContextAggregatorPair):
    """The two aggregators of one context, with Pipecat's parameters."""

    def __init__(
        self,
        context: LLMContext,
        *,
        user_params: LLMUserAggregatorParams | None = None,
        assistant_params: LLMAssistantAggregatorParams | None = None,
        realtime_service_mode: bool | None = None,
    ) -> None:
        super().__init__(context)
        self._user = LLMUserAggregator(context, params=user_params)
        self._assistant = LLMAssistantAggregator(context, params=assistant_params)
