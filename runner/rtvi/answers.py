"""What the client asks for, done: each of its messages becomes frames, an event or an answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from runner.errors import ProtocolError
from runner.frames import (
    EndTaskFrame,
    Frame,
    InputDTMFFrame,
    InterruptionTaskFrame,
    LLMMessagesAppendFrame,
)
from runner.rtvi import messages, requests
from runner.rtvi.frames import (
    RTVIClientMessageFrame,
    RTVIUICancelJobGroupFrame,
    RTVIUIEventFrame,
    RTVIUISnapshotFrame,
)
from runner.rtvi.functions import ClientFunctions
from runner.rtvi.outbox import Outbox
from runner.rtvi.requests import ClientMessage
from runner.transports.events import Events

Inject = Callable[[Frame], Awaitable[None]]


class Answers:
    """Serves one client. What cannot be served is answered with `error-response` under its id."""

    def __init__(
        self,
        outbox: Outbox,
        inject: Inject,
        events: Events,
        functions: ClientFunctions,
        *,
        audio_in: bool,
        audio_out: bool,
    ) -> None:
        self._outbox = outbox
        self._inject = inject
        self._events = events
        self._functions = functions
        self._audio_in = audio_in
        self._audio_out = audio_out
        self._of: dict[str, Callable[[ClientMessage], Awaitable[None]]] = {
            "client-ready": self._client_ready,
            "disconnect-bot": self._disconnect_bot,
            "client-message": self._client_message,
            "send-text": self._send_text,
            "append-to-context": self._append_to_context,
            "dtmf": self._dtmf,
            "raw-audio": self._raw_audio,
            "raw-audio-batch": self._raw_audio,
            "llm-function-call-result": self._function_result,
            "ui-event": self._ui_event,
            "ui-snapshot": self._ui_snapshot,
            "ui-cancel-job-group": self._ui_cancel_job_group,
        }

    @property
    def kinds(self) -> frozenset[str]:
        """The messages that are served."""
        return frozenset(self._of)

    async def serve(self, message: object) -> None:
        """Serve a message of the client's application; what is not RTVI is left alone."""
        try:
            request = requests.parse(message)
            if request is not None:
                await self._of.get(request.type, self._unknown)(request)
        except ProtocolError as error:
            await self._outbox.post(messages.error_response(requests.message_id(message), str(error)))

    async def _client_ready(self, message: ClientMessage) -> None:
        asked = requests.client_major(message.data)
        major = asked if asked in messages.MAJORS else messages.LATEST_MAJOR
        version = str(message.data.get("version", "1.0.0")) if major == 1 else messages.VERSION
        about = {"library": "botrun", "library_version": _own_version()}
        hello = [
            messages.bot_ready(message.id, version, about, audio_in=self._audio_in, audio_out=self._audio_out)
        ]
        if asked != major:
            text = f"RTVI {asked}.x is not spoken here; answering in {messages.VERSION}"
            hello.append(messages.error_response(message.id, text))
        await self._outbox.open(major, hello)
        self._events.emit("on_client_ready")

    async def _disconnect_bot(self, message: ClientMessage) -> None:
        await self._inject(EndTaskFrame(reason="the client asked for it"))

    async def _client_message(self, message: ClientMessage) -> None:
        kind, data = requests.client_message(message.data)
        frame = RTVIClientMessageFrame(message.id, kind, data)
        await self._inject(frame)
        self._events.emit("on_client_message", frame)

    async def _send_text(self, message: ClientMessage) -> None:
        text = requests.send_text(message.data)
        if text.run_immediately:
            await self._inject(InterruptionTaskFrame())
        typed = messages.user_input(
            text.content, input_type="chat", timestamp=datetime.now(UTC).isoformat(), msg_id=message.id
        )
        await self._outbox.post(typed, majors=(2,))
        turn = {"role": "user", "content": text.content}
        await self._inject(
            LLMMessagesAppendFrame([turn], run_llm=text.run_immediately, skip_tts=not text.audio_response)
        )

    async def _append_to_context(self, message: ClientMessage) -> None:
        turn, at_once = requests.append_to_context(message.data)
        if at_once:
            await self._inject(InterruptionTaskFrame())
        await self._inject(LLMMessagesAppendFrame([turn], run_llm=at_once))
        await self._outbox.post(messages.append_to_context_result(message.id))

    async def _dtmf(self, message: ClientMessage) -> None:
        for digit in requests.dtmf_digits(message.data):
            await self._inject(InputDTMFFrame(digit))

    async def _raw_audio(self, message: ClientMessage) -> None:
        frame = requests.raw_audio(message.data)
        if frame.audio:
            await self._inject(frame)

    async def _function_result(self, message: ClientMessage) -> None:
        self._functions.answered(requests.function_result(message.data))

    async def _ui_event(self, message: ClientMessage) -> None:
        await self._ui(RTVIUIEventFrame(message.id, *requests.ui_event(message.data)))

    async def _ui_snapshot(self, message: ClientMessage) -> None:
        await self._ui(RTVIUISnapshotFrame(message.id, requests.ui_snapshot(message.data)))

    async def _ui_cancel_job_group(self, message: ClientMessage) -> None:
        await self._ui(RTVIUICancelJobGroupFrame(message.id, *requests.ui_cancel_job_group(message.data)))

    async def _ui(self, frame: RTVIUIEventFrame | RTVIUISnapshotFrame | RTVIUICancelJobGroupFrame) -> None:
        await self._inject(frame)
        self._events.emit("on_ui_message", frame)

    async def _unknown(self, message: ClientMessage) -> None:
        kind = re.sub(r"[^\w-]", "?", message.type[:60])
        await self._outbox.post(
            messages.error_response(message.id, f"this bot does not know the message {kind}")
        )


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # which takes 6 ms, and is seldom asked for

    try:
        return version("botrun")
    except PackageNotFoundError:
        return "0"
