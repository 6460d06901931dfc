"""Turns the frames of a pipeline into events of its session (`runner.sessions.events`)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from runner.botcode.location import users_place
from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputDTMFFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSTextFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.aggregators import LLMUserAggregator
from runner.services.llm import LLMService
from runner.services.tts import TTSService
from runner.sessions import events

if TYPE_CHECKING:
    from runner.eventloop.clock import Clock
    from runner.processors.base import FrameProcessor

REMEMBERED = 64
"""Number of recent frames to remember: a frame is shown once per processor, but emitted once."""


class EventObserver:
    """Emits a session event for a frame when it is first pushed.

    Args:
        to: the session's events.
        clock: the call's clock (s).
    """

    frame_types = (
        BotPausedSpeakingFrame,
        BotResumedSpeakingFrame,
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        ErrorFrame,
        FunctionCallCancelFrame,
        FunctionCallInProgressFrame,
        FunctionCallResultFrame,
        InputDTMFFrame,
        InterimTranscriptionFrame,
        InterruptionFrame,
        LLMContextFrame,
        LLMFullResponseEndFrame,
        LLMFullResponseStartFrame,
        LLMTextFrame,
        MetricsFrame,
        OutputDTMFFrame,
        TTSStartedFrame,
        TTSTextFrame,
        TranscriptionFrame,
        UserMuteStartedFrame,
        UserMuteStoppedFrame,
        UserStartedSpeakingFrame,
        UserStoppedSpeakingFrame,
    )

    def __init__(self, to: events.CallEvents, clock: Clock) -> None:
        self._emit = to.emit
        self._clock = clock
        self._seen: deque[Frame] = deque(maxlen=REMEMBERED)
        self._said: dict[int | None, list[str]] = {}
        self._tools: dict[str, float] = {}

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        if any(frame is other for other in self._seen):
            return
        self._seen.append(frame)
        now = self._clock()
        match frame:
            case TTSTextFrame(heard_at=at):
                if at is not None:
                    self._emit(events.Heard(at=at, text=frame.text))
            case LLMTextFrame(text=text):
                self._said.setdefault(frame.reply_id, []).append(text)
            case TranscriptionFrame() | InterimTranscriptionFrame():
                self._words(source, frame, now)
            case MetricsFrame():
                self._metric(source, frame, now)
            case ErrorFrame():
                self._error(frame, now)
            case _:
                self._speech(frame, now)
                self._reply(source, frame, now)

    def _words(
        self, source: FrameProcessor, frame: TranscriptionFrame | InterimTranscriptionFrame, now: float
    ) -> None:
        if not frame.text.strip():
            return
        if isinstance(frame, InterimTranscriptionFrame):
            self._emit(events.InterimWords(at=now, text=frame.text, service=source.name))
        else:
            words = events.Words(at=now, text=frame.text, service=source.name, confidence=frame.confidence)
            self._emit(words)

    def _speech(self, frame: Frame, now: float) -> None:
        """Emit events about who speaks."""
        match frame:
            case UserStartedSpeakingFrame(at=at):
                self._emit(events.UserStarted(at=at, seen=now))
            case UserStoppedSpeakingFrame(at=at):
                self._emit(events.UserStopped(at=at, seen=now))
            case BotStartedSpeakingFrame(at=at):
                if frame.sent_at is not None:
                    self._emit(events.SoundSent(at=frame.sent_at, seen=now))
                self._emit(events.BotStarted(at=at, seen=now))
            case BotStoppedSpeakingFrame(at=at):
                self._emit(events.BotStopped(at=at, seen=now, interrupted=frame.interrupted))
            case BotPausedSpeakingFrame(at=at):
                self._emit(events.BotPaused(at=at))
            case BotResumedSpeakingFrame(at=at):
                self._emit(events.BotResumed(at=at, gap_s=round(frame.gap_ms / 1000, 4)))
            case InterruptionFrame():
                self._emit(events.Interrupted(at=now))
            case UserMuteStartedFrame():
                self._emit(events.Muted(at=now))
            case UserMuteStoppedFrame():
                self._emit(events.Unmuted(at=now))
            case InputDTMFFrame(digit=digit):
                self._emit(events.KeyPressed(at=now, digit=digit, by="caller"))
            case OutputDTMFFrame(digit=digit):
                self._emit(events.KeyPressed(at=now, digit=digit, by="bot"))

    def _reply(self, source: FrameProcessor, frame: Frame, now: float) -> None:
        """Emit events about how the bot answers."""
        match frame:
            case LLMContextFrame() if isinstance(source, LLMUserAggregator):
                by = type(source.processor_setup.floor.turn_analyzer).__name__
                self._emit(events.TurnEnded(at=now, by=by, text=_last_words(frame.context)))
            case LLMFullResponseStartFrame(reply_id=reply) if isinstance(source, LLMService):
                model = getattr(source, "model", None)
                started = events.LLMStarted(
                    at=now, reply=reply, service=source.name, model=model if isinstance(model, str) else None
                )
                self._emit(started)
            case LLMFullResponseEndFrame(reply_id=reply) if isinstance(source, LLMService):
                text = "".join(self._said.pop(reply, ()))
                self._emit(events.LLMEnded(at=now, reply=reply, service=source.name, text=text))
            case TTSStartedFrame(text=text, reply_id=reply) if isinstance(source, TTSService):
                self._emit(events.SentenceToVoice(at=now, reply=reply, service=source.name, text=text))
            case FunctionCallInProgressFrame(call=call):
                self._tools[call.tool_call_id] = now
                self._emit(
                    events.ToolCalled(
                        at=now, id=call.tool_call_id, name=call.function_name, arguments=call.arguments
                    )
                )
            case FunctionCallResultFrame(call=call, result=result):
                began = self._tools.pop(call.tool_call_id, None)
                self._emit(
                    events.ToolAnswered(
                        at=now,
                        id=call.tool_call_id,
                        name=call.function_name,
                        result=result,
                        seconds=None if began is None else round(now - began, 4),
                        failed=isinstance(result, dict) and "error" in result,
                    )
                )
            case FunctionCallCancelFrame(call=call):
                self._tools.pop(call.tool_call_id, None)
                self._emit(events.ToolCancelled(at=now, id=call.tool_call_id, name=call.function_name))

    def _metric(self, source: FrameProcessor, frame: MetricsFrame, now: float) -> None:
        own = frame.metric == "ttfb" and frame.processor == source.name
        seconds = round(frame.value_ms / 1000, 4)
        if own and isinstance(source, LLMService):
            self._emit(
                events.LLMFirstToken(at=now, reply=frame.reply_id, service=source.name, ttfb_s=seconds)
            )
        elif own and isinstance(source, TTSService):
            self._emit(
                events.VoiceFirstSound(at=now, reply=frame.reply_id, service=source.name, ttfb_s=seconds)
            )
        else:
            self._emit(
                events.Measured(
                    at=now, metric=frame.metric, processor=frame.processor, value_ms=round(frame.value_ms, 2)
                )
            )

    def _error(self, frame: ErrorFrame, now: float) -> None:
        place = users_place(frame.exception) if frame.exception is not None else None
        file, line = (str(place[0]), place[1]) if place is not None else (None, None)
        self._emit(
            events.Failed(
                at=now,
                message=frame.error,
                processor=frame.processor,
                fatal=frame.fatal,
                file=file,
                line=line,
            )
        )


def _last_words(context: Any) -> str:
    """The last user message in the context."""
    messages = getattr(context, "messages", None) or ()
    last: Any = next((each for each in reversed(messages) if each.get("role") == "user"), {})
    content = last.get("content")
    return content if isinstance(content, str) else ""
