"""What a call's frames say: latencies for the session's statistics, silence for the move to newer code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pipecat.frames import frames as of_pipecat
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.transports.base_output import BaseOutputTransport

from runner.integrations.pipecat.call import PipecatCall
from runner.pipeline.activity import EXPECTED, MESSAGE_S, MODEL_S, PAUSE_S, TRANSCRIPT_S, VOICE_S
from runner.pipeline.latency import TurnParts
from runner.processors.handover_state import Conversation
from runner.rtvi import messages

Send = Callable[[Any], Awaitable[None]]

RTVI_LABEL = "rtvi-ai"

MAX_SEEN = 512
"""Number of frames remembered as handled."""


def _of(handlers: Mapping[type, Any], kind: type) -> Any:
    """The handler of this kind of frame, or of the nearest that it is derived from."""
    return next((handlers[base] for base in kind.__mro__ if base in handlers), None)


def _now() -> float:
    return asyncio.get_running_loop().time()


class Silence:
    """Whether the conversation is silent."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.user_speaks = False
        self.bot_speaks = False
        self.tools: set[str] = set()
        self._expect_until = 0.0

    def busy(self) -> str:
        """What goes on, or is about to; "" in a silence."""
        if self.user_speaks:
            return "the caller speaks"
        if self.bot_speaks:
            return "the bot speaks"
        if self.tools:
            return "a tool runs"
        return EXPECTED if _now() < self._expect_until else ""

    def expect(self, secs: float) -> None:
        """Something follows within this time."""
        self._expect_until = max(self._expect_until, _now() + secs)

    def bot_started(self) -> None:
        self._conversation.spoken = True
        self.bot_speaks, self._expect_until = True, 0.0

    def bot_stopped(self) -> None:
        self.bot_speaks = False
        self.expect(PAUSE_S)


class CallObserver(BaseObserver):  # type: ignore[misc]
    """Measures turns, and forwards RTVI to an application beside the phone's wire.

    Args:
        call: whose statistics it fills.
        silence: updated with what is heard.
        to_client: sends a message to the client.
        to_app: takes messages that the wire does not carry; None where it does.
    """

    def __init__(self, call: PipecatCall, silence: Silence, to_client: Send, to_app: Send | None) -> None:
        super().__init__()
        self._figures = call.figures
        self._connection = call.connection
        self._silence = silence
        self._to_client = to_client
        self._to_app = to_app
        self._parts = TurnParts()
        self._user_started: float | None = None
        self._user_stopped: float | None = None
        self._seen: dict[int, None] = {}
        self._handlers = self._make_handlers()
        self._events = call.events
        self._by_type: dict[type, tuple[Any, Any]] = {}

    async def on_push_frame(self, data: FramePushed) -> None:
        frame = data.frame
        kind = type(frame)
        handlers = self._by_type.get(kind)
        if handlers is None:
            handlers = self._by_type[kind] = _of(self._handlers, kind), _of(self._events.handlers, kind)
        handler, event_handler = handlers
        if kind is of_pipecat.TTSTextFrame and isinstance(data.source, BaseOutputTransport):
            self._events.heard(frame)
        # Each processor that a frame passes pushes it again.
        if (handler is None and event_handler is None) or frame.id in self._seen:
            return
        self._seen[frame.id] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        if event_handler is not None:
            self._events.take(event_handler, frame, data.source)
        waiting = None if handler is None else handler(frame)
        if waiting is not None:
            await waiting

    def _make_handlers(self) -> dict[type, Callable[[Any], Awaitable[None] | None]]:
        silence = self._silence
        return {
            of_pipecat.VADUserStartedSpeakingFrame: self._on_voice,
            of_pipecat.VADUserStoppedSpeakingFrame: self._on_voice_over,
            of_pipecat.UserStartedSpeakingFrame: self._on_user_started,
            of_pipecat.UserStoppedSpeakingFrame: self._on_user_stopped,
            of_pipecat.InterruptionFrame: self._on_interruption,
            of_pipecat.TranscriptionFrame: self._on_transcription,
            of_pipecat.LLMContextFrame: lambda frame: silence.expect(MODEL_S),
            of_pipecat.LLMTextFrame: self._on_words,
            of_pipecat.TTSStartedFrame: lambda frame: silence.expect(VOICE_S),
            of_pipecat.TTSAudioRawFrame: lambda frame: self._parts.end("voice", _now()),
            of_pipecat.BotStartedSpeakingFrame: self._on_bot_started,
            of_pipecat.BotStoppedSpeakingFrame: self._on_bot_stopped,
            of_pipecat.FunctionCallInProgressFrame: lambda frame: silence.tools.add(frame.tool_call_id),
            of_pipecat.FunctionCallResultFrame: lambda frame: silence.tools.discard(frame.tool_call_id),
            of_pipecat.FunctionCallCancelFrame: lambda frame: silence.tools.discard(frame.tool_call_id),
            of_pipecat.InputTransportMessageFrame: lambda frame: silence.expect(MESSAGE_S),
            of_pipecat.OutputTransportMessageUrgentFrame: self._on_message,
        }

    # ------------------------------------------------------------ the user

    def _on_voice(self, frame: Any) -> None:
        self._silence.user_speaks = True
        self._user_started, self._user_stopped = _now() - frame.start_secs, None

    def _on_voice_over(self, frame: Any) -> None:
        self._silence.user_speaks = False
        self._silence.expect(TRANSCRIPT_S)
        self._turn_over(_now() - frame.stop_secs)

    def _on_user_started(self, frame: Any) -> None:
        self._silence.user_speaks = True
        if self._user_started is None:  # no VAD: the recogniser reports turns
            self._user_started, self._user_stopped = _now(), None

    def _on_user_stopped(self, frame: Any) -> None:
        self._silence.user_speaks = False
        self._silence.expect(TRANSCRIPT_S)
        if self._user_stopped is None:
            self._turn_over(_now())

    def _turn_over(self, at: float) -> None:
        self._user_started, self._user_stopped = None, at
        self._parts.begin()
        self._parts.end("pause", _now())

    def _on_transcription(self, frame: Any) -> None:
        self._silence.expect(MESSAGE_S)
        self._parts.end("ears", _now())

    # ------------------------------------------------------------ the bot

    def _on_words(self, frame: Any) -> None:
        self._silence.expect(VOICE_S)
        self._parts.end("model", _now())

    def _on_interruption(self, frame: Any) -> None:
        self._parts.forget_reply()
        if self._connection is not None:
            self._connection.clear_audio()

    async def _on_bot_started(self, frame: Any) -> None:
        self._silence.bot_started()
        if self._user_stopped is not None:
            since, self._user_stopped = self._user_stopped, None
            seconds = _now() - since
            self._figures.turn(seconds, self._parts.cut(since, _now()))
            await self._report("turn_latency", seconds)

    async def _on_bot_stopped(self, frame: Any) -> None:
        if not self._silence.bot_speaks:
            return
        self._silence.bot_stopped()
        if self._user_started is not None:  # the user spoke over the bot
            seconds, self._user_started = _now() - self._user_started, None
            self._figures.stop(seconds)
            await self._report("stop_latency", seconds)

    async def _report(self, name: str, seconds: float) -> None:
        await self._to_client(messages.metric(name, "botrun", seconds * 1000))

    # ------------------------------------------------------------ messages

    async def _on_message(self, frame: Any) -> None:
        message = frame.message
        if self._to_app is not None and isinstance(message, dict) and message.get("label") == RTVI_LABEL:
            await self._to_app(message)
