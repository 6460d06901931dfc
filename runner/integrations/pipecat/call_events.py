"""Pipecat's frames as events of the session (`runner.sessions.events`), for its record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pipecat.frames import frames as of_pipecat
from pipecat.metrics.metrics import ProcessingMetricsData, TTFBMetricsData
from pipecat.services.llm_service import LLMService
from pipecat.services.tts_service import TTSService

from runner.botcode.location import users_place
from runner.sessions import events


class EventWriter:
    """Emits an event for each frame that says what happened; `take` each frame when it is pushed first.

    Args:
        to: the session's events.
    """

    def __init__(self, to: events.CallEvents) -> None:
        self._to = to
        self._said: list[str] = []
        self._tools: dict[str, float] = {}
        self.handlers = self._make_handlers()

    def take(
        self, handler: Callable[[Any, Any, float], events.CallEvent | None], frame: Any, by: Any
    ) -> None:
        """Emit what `handler`, one of `handlers`, makes of a frame that the processor `by` has pushed."""
        if not self._to.wanted:
            return
        event = handler(frame, by, asyncio.get_running_loop().time())
        if event is not None:
            self._to.emit(event)

    def pipeline(self, state: str, processors: list[str]) -> None:
        """The pipeline has "started" or "ended"."""
        now = asyncio.get_running_loop().time()
        self._to.emit(events.PipelineChanged(at=now, state=state, processors=processors))

    def heard(self, frame: Any) -> None:
        """The output has passed on words of the bot: they have been played."""
        self._to.emit(events.Heard(at=asyncio.get_running_loop().time(), text=frame.text))

    def _make_handlers(self) -> Mapping[type, Callable[[Any, Any, float], events.CallEvent | None]]:
        f, e = of_pipecat, events
        return MappingProxyType({
            f.VADUserStartedSpeakingFrame: lambda frame, by, now: e.UserStarted(
                at=now - frame.start_secs, seen=now
            ),
            f.VADUserStoppedSpeakingFrame: lambda frame, by, now: e.UserStopped(
                at=now - frame.stop_secs, seen=now
            ),
            f.UserStoppedSpeakingFrame: lambda frame, by, now: e.TurnEnded(at=now, by=by.name),
            f.InterimTranscriptionFrame: lambda frame, by, now: e.InterimWords(
                at=now, text=frame.text, service=by.name
            ),
            f.TranscriptionFrame: lambda frame, by, now: e.Words(at=now, text=frame.text, service=by.name),
            f.LLMFullResponseStartFrame: lambda frame, by, now: e.LLMStarted(at=now, service=by.name),
            f.LLMTextFrame: self._text,
            f.LLMFullResponseEndFrame: self._reply_ended,
            f.TTSStartedFrame: lambda frame, by, now: e.SentenceToVoice(at=now, service=by.name),
            f.BotStartedSpeakingFrame: lambda frame, by, now: e.BotStarted(at=now),
            f.BotStoppedSpeakingFrame: lambda frame, by, now: e.BotStopped(at=now),
            f.InterruptionFrame: lambda frame, by, now: e.Interrupted(at=now),
            f.UserMuteStartedFrame: lambda frame, by, now: e.Muted(at=now),
            f.UserMuteStoppedFrame: lambda frame, by, now: e.Unmuted(at=now),
            f.InputDTMFFrame: lambda frame, by, now: e.KeyPressed(
                at=now, digit=str(frame.button.value), by="caller"
            ),
            f.FunctionCallInProgressFrame: self._tool_called,
            f.FunctionCallResultFrame: self._tool_answered,
            f.FunctionCallCancelFrame: lambda frame, by, now: e.ToolCancelled(
                at=now, id=frame.tool_call_id, name=frame.function_name
            ),
            f.MetricsFrame: self._measured,
            f.ErrorFrame: _failed,
        })  # fmt: skip

    def _text(self, frame: Any, by: Any, now: float) -> None:
        self._said.append(frame.text)

    def _reply_ended(self, frame: Any, by: Any, now: float) -> events.CallEvent:
        text, self._said = "".join(self._said), []
        return events.LLMEnded(at=now, service=by.name, text=text)

    def _tool_called(self, frame: Any, by: Any, now: float) -> events.CallEvent:
        self._tools[frame.tool_call_id] = now
        arguments = frame.arguments if isinstance(frame.arguments, Mapping) else {}
        return events.ToolCalled(at=now, id=frame.tool_call_id, name=frame.function_name, arguments=arguments)

    def _tool_answered(self, frame: Any, by: Any, now: float) -> events.CallEvent:
        began = self._tools.pop(frame.tool_call_id, None)
        return events.ToolAnswered(
            at=now,
            id=frame.tool_call_id,
            name=frame.function_name,
            result=frame.result,
            seconds=None if began is None else round(now - began, 4),
            failed=getattr(frame, "error", None) is not None,
        )

    def _measured(self, frame: Any, by: Any, now: float) -> None:
        for data in frame.data:
            if isinstance(data, TTFBMetricsData) and data.value > 0:
                self._to.emit(_first(data, by, now))
            elif isinstance(data, ProcessingMetricsData):
                value_ms = round(data.value * 1000, 2)
                self._to.emit(
                    events.Measured(at=now, metric="processing", processor=data.processor, value_ms=value_ms)
                )


def _first(data: Any, by: Any, now: float) -> events.CallEvent:
    seconds = round(data.value, 4)
    if isinstance(by, LLMService):
        return events.LLMFirstToken(at=now, service=by.name, ttfb_s=seconds)
    if isinstance(by, TTSService):
        return events.VoiceFirstSound(at=now, service=by.name, ttfb_s=seconds)
    return events.Measured(
        at=now, metric="ttfb", processor=data.processor, value_ms=round(data.value * 1000, 2)
    )


def _failed(frame: Any, by: Any, now: float) -> events.CallEvent:
    place = users_place(frame.exception) if getattr(frame, "exception", None) is not None else None
    file, line = place if place is not None else (None, None)
    processor = getattr(frame, "processor", None) or by
    return events.Failed(
        at=now,
        message=str(frame.error),
        processor=processor.name,
        fatal=bool(frame.fatal),
        file=file,
        line=line,
    )
