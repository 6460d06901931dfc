"""RTVI beside a running pipeline: what its frames tell the client, and what the client asks of it.

It observes: no frame waits for it, and a bot needs nothing in its pipeline. Every hop of a frame is
shown to an observer; a frame is told once, at its first. What was *heard* is a frame of its own
behind `transport.output()`, with `heard_at`, so words are marked when the listener hears them.
"""

from __future__ import annotations

import re
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import ProtocolError
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndTaskFrame,
    ErrorFrame,
    Frame,
    FrameDirection,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    InterruptionTaskFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.rtvi import messages
from runner.rtvi.messages import ClientMessage
from runner.rtvi.outbox import Outbox, Send
from runner.rtvi.speech import Segment, Speech
from runner.transports.webrtc.stats import SessionStats

if TYPE_CHECKING:
    from runner.processors.base import FrameProcessor

MAX_SEEN = 512
"""Frames remembered as told. A frame still on its way when so many have come after it is told again."""

Inject = Callable[[Frame], Awaitable[None]]


class RTVI:
    """One client's RTVI: attach it to the pipeline task as an observer.

    Args:
        send: puts one message on the wire.
        inject: puts a frame into the pipeline, at its beginning.
        audio_in: whether the bot hears; told to the client.
        audio_out: whether the bot speaks; told to the client.
    """

    def __init__(self, send: Send, inject: Inject, *, audio_in: bool = True, audio_out: bool = True) -> None:
        self._outbox = Outbox(send)
        self._inject = inject
        self._audio_in = audio_in
        self._audio_out = audio_out
        self._seen: OrderedDict[int, Frame] = OrderedDict()
        self._speech = Speech()
        self._speaking = {"user": False, "bot": False}
        self._tellers: dict[type[Frame], Callable[[Any], Awaitable[None]]] = {
            InputTransportMessageFrame: self._on_input_message,
            UserStartedSpeakingFrame: lambda frame: self._on_speaking("user", True),
            UserStoppedSpeakingFrame: lambda frame: self._on_speaking("user", False),
            BotStartedSpeakingFrame: lambda frame: self._on_speaking("bot", True),
            BotStoppedSpeakingFrame: self._on_bot_stopped,
            InterruptionFrame: self._on_interruption,
            InterimTranscriptionFrame: self._on_transcription,
            TranscriptionFrame: self._on_transcription,
            LLMContextFrame: self._on_context,
            LLMFullResponseStartFrame: lambda frame: self._outbox.post(messages.build("bot-llm-started")),
            LLMTextFrame: lambda frame: self._outbox.post(messages.text_message("bot-llm-text", frame.text)),
            LLMFullResponseEndFrame: lambda frame: self._outbox.post(messages.build("bot-llm-stopped")),
            TTSStartedFrame: self._on_tts_started,
            TTSTextFrame: self._on_tts_text,
            TTSStoppedFrame: lambda frame: self._outbox.post(messages.build("bot-tts-stopped")),
            MetricsFrame: self._on_metrics,
            SessionStats: self._on_session_stats,
            ErrorFrame: self._on_error,
        }
        self._answers: dict[str, Callable[[ClientMessage], Awaitable[None]]] = {
            "client-ready": self._client_ready,
            "send-text": self._send_text,
            "disconnect-bot": lambda message: self._inject(EndTaskFrame(reason="the client asked for it")),
            "dtmf": self._dtmf,
        }

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """What this observer wants to be shown."""
        return tuple(self._tellers)

    @property
    def ready(self) -> bool:
        """Whether a client has said `client-ready`; until then messages wait."""
        return self._outbox.major is not None

    # -------------------------------------------------------------- from the pipeline

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

    async def _on_speaking(self, who: str, speaking: bool) -> None:
        if self._speaking[who] != speaking:
            self._speaking[who] = speaking
            await self._outbox.post(messages.build(f"{who}-{'started' if speaking else 'stopped'}-speaking"))

    async def _on_bot_stopped(self, frame: BotStoppedSpeakingFrame) -> None:
        if frame.interrupted:
            self._speech.clear()
        await self._tell_progress(self._speech.finish())
        await self._on_speaking("bot", False)

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
            coming = messages.bot_output_v1(segment.text, spoken=False, aggregated_by="sentence")
            await self._outbox.post(coming, majors=(1,))
            await self._outbox.post(messages.bot_output_v2(segment), majors=(2,))

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

    async def _on_metrics(self, frame: MetricsFrame) -> None:
        await self._outbox.post(messages.metric(frame.metric, frame.processor, frame.value_ms))

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

    # -------------------------------------------------------------- from the client

    async def on_message(self, message: object) -> None:
        """Serve a message of the client's application; what is not RTVI is left alone."""
        try:
            request = messages.parse(message)
            if request is not None:
                await self._answers.get(request.type, self._unknown)(request)
        except ProtocolError as error:
            await self._outbox.post(messages.error_response(messages.message_id(message), str(error)))

    async def _client_ready(self, message: ClientMessage) -> None:
        asked = messages.client_major(message.data)
        major = asked if asked in messages.MAJORS else messages.LATEST_MAJOR
        told = str(message.data.get("version", "1.0.0")) if major == 1 else messages.VERSION
        about = {"library": "botrun", "library_version": _own_version()}
        hello = [
            messages.bot_ready(message.id, told, about, audio_in=self._audio_in, audio_out=self._audio_out)
        ]
        if asked != major:
            text = f"RTVI {asked}.x is not spoken here; answering in {messages.VERSION}"
            hello.append(messages.error_response(message.id, text))
        await self._outbox.open(major, hello)

    async def _send_text(self, message: ClientMessage) -> None:
        text = messages.send_text(message.data)
        if text.run_immediately:
            await self._inject(InterruptionTaskFrame())
        turn = {"role": "user", "content": text.content}
        await self._inject(LLMMessagesAppendFrame([turn], run_llm=text.run_immediately))

    async def _dtmf(self, message: ClientMessage) -> None:
        for digit in messages.dtmf_digits(message.data):
            await self._inject(InputDTMFFrame(digit))

    async def _unknown(self, message: ClientMessage) -> None:
        kind = re.sub(r"[^\w-]", "?", message.type[:60])
        await self._outbox.post(
            messages.error_response(message.id, f"this bot does not know the message {kind}")
        )


def _own_version() -> str:
    try:
        return version("botrun")
    except PackageNotFoundError:
        return "0"


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
