"""Converts frames of the pipeline to messages for the client.

An observer sees every hop of a frame; each frame is reported at its first hop. Words that were *heard* come
as separate frames after `transport.output()`, with `heard_at`, so they are reported when they are played.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.botcode.failure import advice_of, in_words
from runner.botcode.location import Seldom, users_place, users_source
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    ErrorFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
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
from runner.rtvi.frames import (
    LLMSearchResponseFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICommandFrame,
    RTVIUIJobGroupFrame,
)
from runner.rtvi.functions import FunctionReports, RTVIObserverParams
from runner.rtvi.outbox import Outbox
from runner.rtvi.speech import Segment, Speech
from runner.transports.webrtc.stats import SessionStats

if TYPE_CHECKING:
    pass

MAX_SEEN = 512
"""Maximum number of frames remembered as reported. An older frame would be reported again."""


class Reporter:
    """Converts frames to messages for one client."""

    def __init__(self, outbox: Outbox, params: RTVIObserverParams) -> None:
        self._outbox = outbox
        self._reports = FunctionReports(outbox, params)
        self._seen: OrderedDict[int, Frame] = OrderedDict()
        self._speech = Speech()
        self._failures = Seldom()
        self._doing: dict[str, bool] = {}
        self._handlers = self._make_handlers()

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """The types of frames that are reported."""
        return tuple(self._handlers)

    def _make_handlers(self) -> dict[type[Frame], Callable[[Any], Awaitable[None]]]:
        post = self._outbox.post
        return {
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

    async def report(self, frame: Frame) -> None:
        """Send the message for this frame to the client."""
        handler = next((self._handlers[kind] for kind in type(frame).__mro__ if kind in self._handlers), None)
        if handler is not None:
            await handler(frame)

    def is_news(self, frame: Frame) -> bool:
        """Whether the frame has not been reported yet."""
        if id(frame) in self._seen:  # the entry keeps the frame alive, so its id stays its own
            return False
        self._seen[id(frame)] = frame
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return True

    async def _on_state(self, who: str, what: str, begins: bool) -> None:
        """Send `user-started-speaking`, `user-mute-started` and the like, on changes only."""
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
        await self._send_progress(self._speech.finish())
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
        backchannel = isinstance(frame, TranscriptionFrame) and frame.murmur is True
        said = messages.user_input(
            frame.text,
            input_type="backchannel" if backchannel else "transcription",
            timestamp=frame.timestamp,
            final=final,
            user_id=frame.user_id,
        )
        await self._outbox.post(said, majors=(2,))

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
        if frame.heard_at is None:  # not played yet
            return
        await self._outbox.post(messages.text_message("bot-tts-text", frame.text))
        heard = messages.bot_output_v1(frame.text, spoken=True, aggregated_by="word")
        await self._outbox.post(heard, majors=(1,))
        await self._send_progress(self._speech.word(frame.reply_id, frame.text, joined=frame.joined))

    async def _send_progress(self, segments: list[Segment]) -> None:
        for segment in segments:
            await self._outbox.post(messages.bot_output_v2(segment), majors=(2,))

    async def _on_search(self, frame: LLMSearchResponseFrame) -> None:
        message = messages.search_response(frame.search_result, frame.rendered_content, frame.origins)
        await self._outbox.post(message)

    async def _on_server_response(self, frame: RTVIServerResponseFrame) -> None:
        asked = frame.client_msg
        if frame.error is not None:
            await self._outbox.post(messages.error_response(asked.msg_id, frame.error))
        else:
            await self._outbox.post(messages.server_response(asked.msg_id, asked.type, frame.data))

    async def _on_metrics(self, frame: MetricsFrame) -> None:
        await self._outbox.post(messages.metric(frame.metric, frame.processor, frame.value_ms))

    async def _on_subtitle(self, frame: SubtitleFrame) -> None:
        await self._outbox.post(messages.server_message({"type": "subtitle", **asdict(frame)}))

    async def _on_session_stats(self, frame: SessionStats) -> None:
        data = {"type": "session-stats", **frame.as_message()}
        await self._outbox.post(messages.server_message(data))

    async def _on_error(self, frame: ErrorFrame) -> None:
        now = asyncio.get_running_loop().time()
        sentence = self._failures.pass_on(frame.error, frame.exception, now, frame.processor)
        if sentence is None:
            return
        file, line = users_place(frame.exception) or (None, None)
        message = messages.error(
            sentence,
            fatal=frame.fatal,
            processor=frame.processor or None,
            file=file,
            line=line,
            exception=in_words(frame.exception, hints=False) if frame.exception else None,
            source=users_source(frame.exception),
            advice=advice_of(frame.exception, frame.error),
        )
        await self._outbox.post(message)


def _last_user_text(context: object) -> str:
    """The text of the context's last message, if the user said it."""
    last = context[-1] if isinstance(context, list) and context else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return ""
    content = last.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
