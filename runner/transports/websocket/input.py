"""Reads the caller's sound and messages from a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from starlette.websockets import WebSocket

from runner.audio.resampler import Resampler
from runner.errors import ProtocolError
from runner.frames import Frame, InputAudioRawFrame, InputTransportMessageFrame, StartFrame
from runner.processors.base import ProcessorSetup
from runner.serializers.base import FrameSerializer, MarkReachedFrame, MediaClearedFrame, StreamStoppedFrame
from runner.transports.base import Events
from runner.transports.input import BaseInputTransport
from runner.transports.params import FastAPIWebsocketParams
from runner.transports.session_port import SessionPort
from runner.transports.websocket.output import WebsocketOutput
from runner.transports.websocket.socket import EARLY_MESSAGES, CallWebSocket, Ending, Take, content_of

logger = logging.getLogger(__name__)

BAD_IN_A_ROW = 20
"""Number of malformed messages in a row after which the call ends: the peer uses another protocol."""

SEND_DEADLINE_S = 5.0
MEDIA_DEADLINE_S = 15.0
"""Times (s) after which the call counts as lost: for sending one message, and without a received message."""


class Line(Protocol):
    """The transport, as seen by its input."""

    def connected(self) -> None:
        """The pipeline has started."""

    def disconnected(self) -> None:
        """The caller has left."""

    def close_soon(self, code: int, reason: str, ending: Ending) -> None:
        """End the call."""


class WebsocketInput(BaseInputTransport):
    """Reads the socket.

    Args:
        websocket: the accepted socket.
        params: the transport's parameters.
        serializer: the call's serializer.
        output: receives the marks that the peer returns.
        events: the transport's events, for `on_app_message`.
        line: called when the pipeline has started, the caller leaves, or the call has to end.
        port: delivers messages of an application that is not on the media socket.
    """

    def __init__(
        self,
        websocket: WebSocket,
        params: FastAPIWebsocketParams,
        serializer: FrameSerializer,
        *,
        output: WebsocketOutput,
        events: Events,
        line: Line,
        port: SessionPort,
    ) -> None:
        super().__init__(params)
        self._websocket = websocket
        self._serializer = serializer
        self._output = output
        self._events = events
        self._line = line
        self._port = port
        self._resampler: Resampler | None = None
        # The pipeline's sample rate is not known before it starts: sound waits until then.
        self._early: deque[InputAudioRawFrame] = deque(maxlen=EARLY_MESSAGES)
        self._receive: Callable[[InputAudioRawFrame], None] = self._early.append
        self._bad_in_a_row = 0
        self._heard_at = 0.0
        self.default_in_hz = serializer.sample_rate
        self.default_out_hz = serializer.output_sample_rate

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._clock = setup.clock
        self._heard_at = setup.clock()
        self._port.app.open(self._from_app)
        self.create_task(self._read(), "read")
        self.create_task(self._watch(), "watch")

    async def started(self, frame: StartFrame) -> None:
        if self.sample_rate != self._serializer.sample_rate:
            self._resampler = Resampler(self._serializer.sample_rate, self.sample_rate)
        self._receive = self.receive_audio if self._resampler is None else self._receive_resampled
        while self._early:
            self._receive(self._early.popleft())
        self._line.connected()

    async def _read(self) -> None:
        socket = self._websocket
        caller_left = await (
            socket.listen(self._take) if isinstance(socket, CallWebSocket) else _listen(socket, self._take)
        )
        if caller_left:
            self._line.disconnected()

    def _take(self, data: str | bytes) -> bool:
        """Handle one message; False at the end of the stream."""
        self._heard_at = self._clock()
        try:
            frames = self._serializer.deserialize(data)
            self._bad_in_a_row = 0
        except ProtocolError as error:
            return self._bad(error)
        if not frames and self._serializer.holding:
            frames = self._serializer.release(self._heard_at)
        for frame in frames:
            if isinstance(frame, InputAudioRawFrame):
                self._receive(frame)
            elif not self._handle(frame):
                return False
        return True

    def _handle(self, frame: Frame) -> bool:
        match frame:
            case InputAudioRawFrame():
                self._receive(frame)
            case MarkReachedFrame(name=name):
                self._output.mark_reached(name)
            case MediaClearedFrame():
                pass
            case StreamStoppedFrame():
                self._line.disconnected()
                return False
            case InputTransportMessageFrame():
                self._events.emit("on_app_message", frame.message, self._websocket)
                self.push_soon(frame)
            case _:
                self.push_soon(frame)
        return True

    def totals(self) -> Mapping[str, float]:
        return {**super().totals(), "malformed": self._serializer.counters["malformed"]}

    def _from_app(self, message: Any) -> None:
        self._handle(InputTransportMessageFrame(message))

    def _receive_resampled(self, frame: InputAudioRawFrame) -> None:
        assert self._resampler is not None
        self.receive_audio(InputAudioRawFrame(self._resampler.process(frame.audio), self.sample_rate))

    def _bad(self, error: ProtocolError) -> bool:
        """Count and drop a malformed message; end the call after many in a row."""
        self._bad_in_a_row += 1
        self._serializer.counters["malformed"] += 1
        if self._bad_in_a_row == 1:
            logger.warning(
                "%s sent a malformed message, which was dropped: %s", self._serializer.provider, error
            )
        if self._bad_in_a_row < BAD_IN_A_ROW:
            return True
        reason = f"{BAD_IN_A_ROW} malformed messages in a row; the last: {error}"
        self._line.close_soon(1007, reason, Ending.BROKE_PROTOCOL)
        return False

    async def _watch(self) -> None:
        """End the call when the socket is open but one of its directions is stuck."""
        while True:
            await asyncio.sleep(1.0)
            now = self._clock()
            if self._serializer.holding:
                for frame in self._serializer.release(now):
                    self._handle(frame)
            if self._output.stuck_s(now) > SEND_DEADLINE_S:
                reason = f"the peer has read nothing for {SEND_DEADLINE_S:g} s"
                self._line.close_soon(1011, reason, Ending.LOST)
            elif self._serializer.provider != "websocket" and now - self._heard_at > MEDIA_DEADLINE_S:
                reason = f"no message from {self._serializer.provider} for {MEDIA_DEADLINE_S:g} s"
                self._line.close_soon(1011, reason, Ending.LOST)


async def _listen(socket: WebSocket, take: Take) -> bool:
    """`CallWebSocket.listen`, for a socket that the user's own server accepted."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return True
        if not take(content_of(message)):
            return False
