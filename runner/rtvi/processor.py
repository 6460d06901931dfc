"""RTVI beside a running pipeline: `task.rtvi`, through which a bot speaks with its client's application.

It observes: no frame waits for it, and a bot needs nothing in its pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runner.frames import Frame, FrameDirection, InputTransportMessageFrame
from runner.rtvi import messages
from runner.rtvi.answers import Answers, Inject
from runner.rtvi.frames import RTVIClientMessageFrame
from runner.rtvi.functions import CLIENT_FUNCTION_S, ClientFunctions, RTVIObserverParams
from runner.rtvi.outbox import Holding, Outbox, Send
from runner.rtvi.reporter import Reporter
from runner.transports.events import Events, HandlerT

if TYPE_CHECKING:
    from runner.processors.base import FrameProcessor
    from runner.processors.floor_state import Replies


class RTVI:
    """One client's RTVI: `task.rtvi`, an observer of the pipeline.

    Events: `on_client_ready(rtvi)`, `on_client_message(rtvi, message)` with an `RTVIClientMessageFrame`, and
    `on_ui_message(rtvi, frame)` with one of the three UI frames of `rtvi/frames.py`.

    Args:
        send: puts one message on the wire.
        inject: puts a frame into the pipeline, at its beginning.
        audio_in: whether the bot hears; announced to the client.
        audio_out: whether the bot speaks; announced to the client.
        params: what is reported to the client.
        replies: the call's; a reply is reported once it is certain.
        client_major: the major version that the client announced to older code of the bot, if it did.
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

    async def open_unasked(self) -> None:
        """Send without waiting for `client-ready`: without `transport.input()` it can never arrive."""
        if not self.ready:
            await self._outbox.open(messages.LATEST_MAJOR, [])

    async def aclose(self) -> None:
        """Let the bot's handlers finish, within a bound."""
        await self.events.aclose()

    # -------------------------------------------------------------- for the pipeline

    @property
    def frame_types(self) -> tuple[type[Frame], ...]:
        """What this observer wants to be shown."""
        return (InputTransportMessageFrame, *self._reporter.frame_types)

    async def on_push_frame(self, source: FrameProcessor, frame: Frame, direction: FrameDirection) -> None:
        """Report `frame` to the client once; serve what the client sent."""
        if self._holding.due:
            await self.send_due()
        if self._holding.keeps(frame) or not self._reporter.is_news(frame):
            return
        if isinstance(frame, InputTransportMessageFrame):
            await self.on_message(frame.message)
        else:
            await self._reporter.report(frame)

    async def send_due(self) -> None:
        """A held reply is certain: send the client what was kept of it."""
        while self._holding.due:
            frame = self._holding.due.popleft()
            if self._reporter.is_news(frame):
                await self._reporter.report(frame)
