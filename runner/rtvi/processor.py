"""RTVI beside a running pipeline: what its frames tell the client, and what the client asks of it.

It observes: no frame waits for it, and a bot needs nothing in its pipeline. Every hop of a frame is
shown to an observer; a frame is told once, at its first. What was *heard* is a frame of its own
behind `transport.output()`, with `heard_at`, so words are marked when the listener hears them.
"""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    SubtitleFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UnspokenTextFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.rtvi import messages
from runner.rtvi.answers import Answers, Inject
from runner.rtvi.frames import (
    LLMSearchResponseFrame,
    RTVIClientMessageFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICommandFrame,
    RTVIUIJobGroupFrame,
)
from runner.rtvi.functions import CLIENT_FUNCTION_S, ClientFunctions, FunctionReports, RTVIObserverParams
from runner.rtvi.outbox import Outbox, Send
from runner.rtvi.speech import Segment, Speech
from runner.transports.events import Events, HandlerT
from runner.transports.webrtc.stats import SessionStats

if TYPE_CHECKING:
    from runner.processors.base import FrameProcessor

MAX_SEEN = 512
"""Frames remembered as told. A frame still on its way when so many have come after it is told again."""


class RTVI:
    """One client's RTVI: `task.rtvi`, an observer of the pipeline.

    Events: `on_client_ready(rtvi)`, `on_client_message(rtvi, message)` with an `RTVIClientMessageFrame`, and
    `on_ui_message(rtvi, frame)` with one of the three UI frames of `rtvi/frames.py`.

    Args:
        send: puts one message on the wire.
        inject: puts a frame into the pipeline, at its beginning.
        audio_in: whether the bot hears; told to the client.
        audio_out: whether the bot speaks; told to the client.
        params: what the client is told.
    """

    def __init__(
        self,
        send: Send,
        inject: Inject,
        *,
        audio_in: bool = True,
        audio_out: bool = True,
        params: RTVIObserverParams | None = None,
    ) -> None:
        self.events = Events(self, "on_client_ready", "on_client_message", "on_ui_message")
        self._outbox = Outbox(send)
        self._functions = ClientFunctions(self._outbox)
        self._reports = FunctionReports(self._outbox, params or RTVIObserverParams())
        self._answers = Answers(
            self._outbox, inject, self.events, self._functions, audio_in=audio_in, audio_out=audio_out
        )
        self._seen: OrderedDict[int, Frame] = OrderedDict()
        self._speech = Speech()
        self._doing: dict[str, bool] = {}
        self._tellers = self._make_tellers()

    # -------------------------------------------------------------- for the bot

    @property
    def ready(self) -> bool:
        """Whether a client has said `client-ready`; until then messages wait."""
        return self._outbox.major is not None

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(rtvi, …)` to run it on an event."""
        return self.events.handler(name)

    async def send_server_message(self, data: Any) -> None:
        """Tell the client's application something: any JSON value."""
        await self._outbox.post(messages.server_message(data))

    async def send_server_response(self, client_msg: RTVIClientMessageFrame, data: Any) -> None:
        """Answer a message of the client's."""
        await self._outbox.post(messages.server_response(client_msg.msg_id, client_msg.type, data))

    async def send_error_response(self, client_msg: RTVIClientMessageFrame, error: str) -> None:
        """Let a request of the client's fail with this sentence."""
        await self._outbox.post(messages.error_response(client_msg.msg_id, error))

    async def call_function(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout_s: float = CLIENT_FUNCTION_S
    ) -> Any:
        """Run a function that the client registered (`registerFunctionCallHandler`); what it returned.

        Raises:
            ServiceError: nothing came back in time.
        """
        return await self._functions.call(name, arguments or {}, timeout_s)

    async def set_bot_ready(self) -> None:
        """Nothing: `bot-ready` answers `client-ready` by itself. Bots that say it are as right."""

    async def on_message(self, message: object) -> None:
        """Serve a message of the client's application; what is not RTVI is left alone."""
        await self._answers.serve(message)

    async def aclose(self) -> None:
        """Let the bot's handlers finish, within a bound."""
        await self.events.aclose()

    # -------------------------------------------------------------- from the pipeline

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """What this observer wants to be shown."""
        return tuple(self._tellers)

    def _make_tellers(self) -> dict[type[Frame], Callable[[Any], Awaitable[None]]]:
        post = self._outbox.post
        return {
            InputTransportMessageFrame: self._on_input_message,
            UserStartedSpeakingFrame: lambda frame: self._on_state("user", "speaking", True),
            UserStoppedSpeakingFrame: lambda frame: self._on_state("user", "speaking", False),
            UserMuteStartedFrame: lambda frame: self._on_state("user", "mute", True),
            UserMuteStoppedFrame: lambda frame: self._on_state("user", "mute", False),
            BotStartedSpeakingFrame: lambda frame: self._on_state("bot", "speaking", True),
            BotStoppedSpeakingFrame: self._on_bot_stopped,
            InterruptionFrame: self._on_interruption,
            InterimTranscriptionFrame: self._on_transcription,
            TranscriptionFrame: self._on_transcription,
            LLMContextFrame: self._on_context,
            LLMFullResponseStartFrame: lambda frame: post(messages.build("bot-llm-started")),
            LLMTextFrame: lambda frame: post(messages.text_message("bot-llm-text", frame.text)),
            LLMFullResponseEndFrame: lambda frame: post(messages.build("bot-llm-stopped")),
            LLMSearchResponseFrame: self._on_search,
            FunctionCallsStartedFrame: self._reports.started,
            FunctionCallInProgressFrame: self._reports.in_progress,
            FunctionCallResultFrame: self._reports.answered,
            FunctionCallCancelFrame: self._reports.cancelled,
            UnspokenTextFrame: self._on_unspoken,
            TTSStartedFrame: self._on_tts_started,
            TTSTextFrame: self._on_tts_text,
            TTSStoppedFrame: lambda frame: post(messages.build("bot-tts-stopped")),
            MetricsFrame: self._on_metrics,
            SubtitleFrame: self._on_subtitle,
            SessionStats: self._on_session_stats,
            ErrorFrame: self._on_error,
            RTVIServerMessageFrame: lambda frame: post(messages.server_message(frame.data)),
            RTVIServerResponseFrame: self._on_server_response,
            RTVIUICommandFrame: lambda frame: post(messages.ui_command(frame.command, frame.payload)),
            RTVIUIJobGroupFrame: lambda frame: post(messages.ui_job_group(frame.data)),
        }

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Tell the client what `frame` means, if it has not been told."""
        teller = next((self._tellers[kind] for kind in type(frame).__mro__ if kind in self._tellers), None)
        if teller is not None and self._is_news(frame):
            await teller(frame)

    def _is_news(self, frame: Frame) -> bool:
        if id(frame) in self._seen:  # the entry keeps the frame alive, so its id stays its own
            return False
        self._seen[id(frame)] = frame
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return True

    async def _on_input_message(self, frame: InputTransportMessageFrame) -> None:
        await self.on_message(frame.message)

    async def _on_state(self, who: str, what: str, begins: bool) -> None:
        """`user-started-speaking` and `user-mute-started`: told when it changes, not each time it is said."""
        key = f"{who} {what}"
        if self._doing.get(key, False) == begins:
            return
        self._doing[key] = begins
        change = "started" if begins else "stopped"
        kind = f"{who}-{change}-{what}" if what == "speaking" else f"{who}-{what}-{change}"
        await self._outbox.post(messages.build(kind))

    async def _on_bot_stopped(self, frame: BotStoppedSpeakingFrame) -> None:
        if frame.interrupted:
            self._speech.clear()
        await self._tell_progress(self._speech.finish())
        await self._on_state("bot", "speaking", False)

    async def _on_interruption(self, frame: InterruptionFrame) -> None:
        self._speech.cut()
        await self._outbox.post(messages.build("bot-interrupted"))

    async def _on_transcription(self, frame: TranscriptionFrame | InterimTranscriptionFrame) -> None:
        final = isinstance(frame, TranscriptionFrame)
        if final and not frame.text.strip():
            await self._outbox.post(messages.server_message({"type": "not-understood"}))
            return
        await self._outbox.post(
            messages.user_transcription(
                frame.text, final=final, timestamp=frame.timestamp, user_id=frame.user_id
            )
        )

    async def _on_context(self, frame: LLMContextFrame) -> None:
        text = _last_user_text(getattr(frame.context, "messages", None))
        if text:
            await self._outbox.post(messages.text_message("user-llm-text", text))

    async def _on_tts_started(self, frame: TTSStartedFrame) -> None:
        await self._outbox.post(messages.build("bot-tts-started"))
        segment = self._speech.announce(frame.reply_id, frame.text)
        if segment.text:
            await self._announce(segment.text, messages.bot_output_v2(segment))

    async def _on_unspoken(self, frame: UnspokenTextFrame) -> None:
        text = frame.text.strip()
        await self._announce(text, messages.bot_output_unspoken(text, self._speech.next_id()))

    async def _announce(self, text: str, for_v2: messages.Message) -> None:
        coming = messages.bot_output_v1(text, spoken=False, aggregated_by="sentence")
        await self._outbox.post(coming, majors=(1,))
        await self._outbox.post(for_v2, majors=(2,))
        await self._outbox.post(messages.text_message("bot-transcription", text))

    async def _on_tts_text(self, frame: TTSTextFrame) -> None:
        if frame.heard_at is None:  # on its way to the output: nobody has heard it
            return
        await self._outbox.post(messages.text_message("bot-tts-text", frame.text))
        heard = messages.bot_output_v1(frame.text, spoken=True, aggregated_by="word")
        await self._outbox.post(heard, majors=(1,))
        await self._tell_progress(self._speech.word(frame.reply_id, frame.text))

    async def _tell_progress(self, segments: list[Segment]) -> None:
        for segment in segments:
            await self._outbox.post(messages.bot_output_v2(segment), majors=(2,))

    async def _on_search(self, frame: LLMSearchResponseFrame) -> None:
        told = messages.search_response(frame.search_result, frame.rendered_content, frame.origins)
        await self._outbox.post(told)

    async def _on_server_response(self, frame: RTVIServerResponseFrame) -> None:
        if frame.error is not None:
            await self.send_error_response(frame.client_msg, frame.error)
        else:
            await self.send_server_response(frame.client_msg, frame.data)

    async def _on_metrics(self, frame: MetricsFrame) -> None:
        await self._outbox.post(messages.metric(frame.metric, frame.processor, frame.value_ms))

    async def _on_subtitle(self, frame: SubtitleFrame) -> None:
        await self.send_server_message({"type": "subtitle", **asdict(frame)})

    async def _on_session_stats(self, frame: SessionStats) -> None:
        told = {"type": "session-stats", **frame.as_message()}
        await self._outbox.post(messages.server_message(told))

    async def _on_error(self, frame: ErrorFrame) -> None:
        file, line = _place_in_bot(frame.exception)
        await self._outbox.post(
            messages.error(
                frame.error, fatal=frame.fatal, processor=frame.processor or None, file=file, line=line
            )
        )


def _last_user_text(context: object) -> str:
    """The text of the context's last message, if that is the user's."""
    last = context[-1] if isinstance(context, list) and context else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return ""
    content = last.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _place_in_bot(exception: BaseException | None) -> tuple[str | None, int | None]:
    """File name and line of the deepest step in the user's own code, neither ours nor a package's."""
    ours = Path(__file__).resolve().parent.parent
    for step in reversed(traceback.extract_tb(exception.__traceback__) if exception else []):
        path = Path(step.filename)
        if path.is_file() and not path.is_relative_to(ours) and "site-packages" not in path.parts:
            return path.name, step.lineno
    return None, None
