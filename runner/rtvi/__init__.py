"""RTVI, the protocol between the server and the page or one of Pipecat's clients.

messages.py    builds messages to the client, pure
requests.py    parses messages from the client, pure
frames.py      frames between a bot and its client's application
speech.py      which words of the bot's speech have been heard, pure
outbox.py      keeps messages until the client is ready
functions.py   tools: progress reports, and functions that the client runs
reporter.py    frames -> messages

`RTVI` is `task.rtvi`: a bot uses it to talk to its client's application. It observes the pipeline, so it
delays no frame and the bot adds nothing to its pipeline. Each message from the client becomes frames, an
event or a response.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from runner.errors import ProtocolError
from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionTaskFrame,
    LLMMessagesAppendFrame,
)
from runner.rtvi import messages, requests
from runner.rtvi.frames import (
    LLMSearchResponseFrame,
    RTVIClientMessageFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICancelJobGroupFrame,
    RTVIUICommandFrame,
    RTVIUIEventFrame,
    RTVIUIJobGroupFrame,
    RTVIUISnapshotFrame,
)
from runner.rtvi.functions import (
    CLIENT_FUNCTION_S,
    ClientFunctions,
    RTVIFunctionCallReportLevel,
    RTVIObserverParams,
)
from runner.rtvi.outbox import Holding, Outbox, Send
from runner.rtvi.reporter import Reporter
from runner.rtvi.requests import ClientMessage
from runner.transports.base import Events, HandlerT

if TYPE_CHECKING:
    from runner.processors.base import FrameProcessor
    from runner.processors.floor_state import Replies

Inject = Callable[[Frame], Awaitable[None]]


class Answers:
    """Handles one client's messages. A message that fails is answered with `error-response` and its id."""

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
        """The types of messages that are handled."""
        return frozenset(self._of)

    async def serve(self, message: object) -> None:
        """Handle a message from the client's application. Ignores messages that are not RTVI."""
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
            text = f"RTVI {asked}.x is not supported; answering in {messages.VERSION}"
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
        await self._outbox.post(messages.error_response(message.id, f"unknown message type {kind}"))


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # which takes 6 ms, and is seldom asked for

    try:
        return version("botrun")
    except PackageNotFoundError:
        return "0"


class RTVI:
    """One client's RTVI: `task.rtvi`, an observer of the pipeline.

    Events: `on_client_ready(rtvi)`, `on_client_message(rtvi, message)` with an `RTVIClientMessageFrame`, and
    `on_ui_message(rtvi, frame)` with one of the three UI frames of `rtvi/frames.py`.

    Args:
        send: puts one message on the wire.
        inject: puts a frame into the pipeline, at its beginning.
        audio_in: whether the bot receives sound; announced to the client.
        audio_out: whether the bot sends sound; announced to the client.
        params: what is reported to the client.
        replies: the call's replies; a held reply is reported once it is confirmed.
        client_major: the major version that the client announced before the bot's code was reloaded, if any.
    """

    def __init__(
        self,
        send: Send,
        inject: Inject,
        *,
        audio_in: bool = True,
        audio_out: bool = True,
        params: RTVIObserverParams | None = None,
        replies: Replies | None = None,
        client_major: int | None = None,
    ) -> None:
        self.events = Events(self, "on_client_ready", "on_client_message", "on_ui_message")
        self._outbox = Outbox(send)
        self._outbox.major = client_major
        self._functions = ClientFunctions(self._outbox)
        self._answers = Answers(
            self._outbox, inject, self.events, self._functions, audio_in=audio_in, audio_out=audio_out
        )
        self._reporter = Reporter(self._outbox, params or RTVIObserverParams())
        self._holding = Holding(replies)

    # -------------------------------------------------------------- for the bot

    @property
    def ready(self) -> bool:
        """Whether a client has said `client-ready`; until then messages wait."""
        return self.client_major is not None

    @property
    def client_major(self) -> int | None:
        """The major version of RTVI that the client has announced."""
        return self._outbox.major

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(rtvi, …)` to run it on an event."""
        return self.events.handler(name)

    async def send_server_message(self, data: Any) -> None:
        """Send the client's application any JSON value."""
        await self._outbox.post(messages.server_message(data))

    async def send_server_response(self, client_msg: RTVIClientMessageFrame, data: Any) -> None:
        """Answer a message from the client."""
        await self._outbox.post(messages.server_response(client_msg.msg_id, client_msg.type, data))

    async def send_error_response(self, client_msg: RTVIClientMessageFrame, error: str) -> None:
        """Fail a request from the client with this message."""
        await self._outbox.post(messages.error_response(client_msg.msg_id, error))

    async def call_function(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout_s: float = CLIENT_FUNCTION_S
    ) -> Any:
        """Run a function that the client registered (`registerFunctionCallHandler`) and return its result.

        Raises:
            ServiceError: nothing came back in time.
        """
        return await self._functions.call(name, arguments or {}, timeout_s)

    async def set_bot_ready(self) -> None:
        """Do nothing; for compatibility. `bot-ready` is sent automatically in answer to `client-ready`."""

    async def on_message(self, message: object) -> None:
        """Handle a message from the client's application. Ignores messages that are not RTVI."""
        await self._answers.serve(message)

    async def open_unasked(self) -> None:
        """Send without waiting for `client-ready`: without `transport.input()` it can never arrive."""
        if not self.ready:
            await self._outbox.open(messages.LATEST_MAJOR, [])

    async def aclose(self) -> None:
        """Wait for the bot's event handlers to finish, up to a timeout."""
        await self.events.aclose()

    # -------------------------------------------------------------- for the pipeline

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """The types of frames that this observer handles."""
        return (InputTransportMessageFrame, *self._reporter.frame_types)

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Report `frame` to the client once, or handle it if the client sent it."""
        if self._holding.due:
            await self.send_due()
        if self._holding.keeps(frame) or not self._reporter.is_news(frame):
            return
        if isinstance(frame, InputTransportMessageFrame):
            await self.on_message(frame.message)
        else:
            await self._reporter.report(frame)

    async def send_due(self) -> None:
        """Report the kept frames of held replies that have been confirmed."""
        while self._holding.due:
            frame = self._holding.due.popleft()
            if self._reporter.is_news(frame):
                await self._reporter.report(frame)


__all__ = [
    "RTVI",
    "LLMSearchResponseFrame",
    "RTVIClientMessageFrame",
    "RTVIFunctionCallReportLevel",
    "RTVIObserverParams",
    "RTVIServerMessageFrame",
    "RTVIServerResponseFrame",
    "RTVIUICancelJobGroupFrame",
    "RTVIUICommandFrame",
    "RTVIUIEventFrame",
    "RTVIUIJobGroupFrame",
    "RTVIUISnapshotFrame",
]
