"""Sound over a WebSocket: a phone provider's media stream, or a plain client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketState

from runner.audio.resampler import Resampler
from runner.errors import ProtocolError, UsageError
from runner.frames import (
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    StartFrame,
)
from runner.processors.base import ProcessorSetup
from runner.serializers.base import (
    FrameSerializer,
    MarkReachedFrame,
    MediaClearedFrame,
    StreamStoppedFrame,
)
from runner.transports.base import BaseTransport, TransportParams
from runner.transports.input import BaseInputTransport
from runner.transports.websocket.output import WebsocketOutput
from runner.transports.websocket.socket import CallWebSocket, listen_to

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

logger = logging.getLogger(__name__)

BAD_IN_A_ROW = 20
"""So many malformed messages one after the other, and the far end speaks something else."""

SEND_DEADLINE_S = 5.0
MEDIA_DEADLINE_S = 15.0
"""How long (s) one message may take to leave, and the caller's sound may be missing, until the call counts
as lost."""


@dataclass(kw_only=True)
class FastAPIWebsocketParams(TransportParams):
    """`TransportParams` of a WebSocket.

    Attributes:
        serializer: turns messages into frames; None takes the one that botrun made for this call.
        add_wav_header: put a WAV header before each piece of sound (some plain clients want it).
        audio_out_lead_ms: how far (ms) sound runs ahead of its playout, at most 400: a stall of that
            length is not heard.
    """

    serializer: FrameSerializer | None = None
    add_wav_header: bool = False
    audio_out_lead_ms: float = 120


class WebsocketInput(BaseInputTransport):
    """Reads the socket, from the moment the bot builds its transport."""

    def __init__(self, transport: FastAPIWebsocketTransport) -> None:
        super().__init__(transport.params)
        self._transport = transport
        self._serializer = transport.serializer
        self._resampler: Resampler | None = None
        self._bad_in_a_row = 0
        self._heard_at = 0.0
        self.default_in_hz = transport.serializer.sample_rate
        self.default_out_hz = transport.serializer.output_sample_rate

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._clock = setup.clock
        self._heard_at = setup.clock()
        socket = self._transport.websocket
        if isinstance(socket, CallWebSocket):
            socket.beside.open(self._from_app)
        self.create_task(self._read(), "read")
        self.create_task(self._watch(), "watch")

    async def started(self, frame: StartFrame) -> None:
        if self.sample_rate != self._serializer.sample_rate:
            self._resampler = Resampler(self._serializer.sample_rate, self.sample_rate)
        self._transport.connected()

    async def _read(self) -> None:
        socket = self._transport.websocket
        listen = socket.listen if isinstance(socket, CallWebSocket) else partial(listen_to, socket)
        if await listen(self._take):
            self._transport.disconnected()

    def _take(self, data: str | bytes) -> bool:
        """Handle one message; False when the stream is over."""
        self._heard_at = self._clock()
        try:
            frames = self._serializer.deserialize(data)
            self._bad_in_a_row = 0
        except ProtocolError as error:
            return self._bad(error)
        if not frames and self._serializer.holding:
            frames = self._serializer.release(self._heard_at)
        for frame in frames:
            if self._resampler is None and isinstance(frame, InputAudioRawFrame):
                self.receive_audio(frame)
            elif not self._handle(frame):
                return False
        return True

    def _handle(self, frame: Frame) -> bool:
        match frame:
            case InputAudioRawFrame():
                self.receive_audio(self._at_pipeline_rate(frame))
            case MarkReachedFrame(name=name):
                self._transport.sink.mark_reached(name)
            case MediaClearedFrame():
                pass
            case StreamStoppedFrame():
                self._transport.disconnected()
                return False
            case InputTransportMessageFrame():
                self._transport.events.emit("on_app_message", frame.message, self._transport.websocket)
                self.push_soon(frame)
            case _:
                self.push_soon(frame)
        return True

    def totals(self) -> Mapping[str, float]:
        return {**super().totals(), "malformed": self._serializer.counters["malformed"]}

    def _from_app(self, message: Any) -> None:
        self._handle(InputTransportMessageFrame(message))

    def _at_pipeline_rate(self, frame: InputAudioRawFrame) -> InputAudioRawFrame:
        if self._resampler is None:
            return frame
        return InputAudioRawFrame(self._resampler.process(frame.audio), self.sample_rate)

    def _bad(self, error: ProtocolError) -> bool:
        """One bad message is counted and dropped; many in a row end the call."""
        self._bad_in_a_row += 1
        self._serializer.counters["malformed"] += 1
        if self._bad_in_a_row == 1:
            logger.warning("a malformed message from %s was dropped: %s", self._serializer.provider, error)
        if self._bad_in_a_row < BAD_IN_A_ROW:
            return True
        logger.error("%d malformed messages in a row: the call is ended", BAD_IN_A_ROW)
        self._transport.close_soon(1007, f"{BAD_IN_A_ROW} malformed messages in a row")
        return False

    async def _watch(self) -> None:
        """A socket that is open and silent, or takes nothing any more, is a lost call."""
        while True:
            await asyncio.sleep(1.0)
            now = self.lent.clock()
            if self._serializer.holding:
                for frame in self._serializer.release(now):
                    self._handle(frame)
            if self._transport.sink.stuck_s(now) > SEND_DEADLINE_S:
                self._transport.close_soon(1011, "the far end takes no more sound")
            elif self._serializer.provider != "websocket" and now - self._heard_at > MEDIA_DEADLINE_S:
                self._transport.close_soon(1011, f"nothing came for {MEDIA_DEADLINE_S:g} s")


class FastAPIWebsocketTransport(BaseTransport):
    """A phone call or a plain client over a WebSocket.

    Events: `on_client_connected(transport, websocket)`, `on_client_disconnected(transport, websocket)`
    (once; not where the call goes on with the bot's new code), `on_app_message(transport, message,
    websocket)`.
    """

    def __init__(self, websocket: WebSocket, params: TransportParams) -> None:
        super().__init__()
        self.websocket = websocket
        self.params = FastAPIWebsocketParams.of(params)
        self.serializer = self.params.serializer or _own_serializer(websocket)
        if isinstance(websocket, CallWebSocket):
            # Its credentials and its `auto_hang_up` decide how the call ends.
            websocket.serializer = self.serializer
        self._gone = False
        self._closing: asyncio.Task[None] | None = None
        self.source = WebsocketInput(self)
        self.sink = WebsocketOutput(self)

    def input(self) -> WebsocketInput:
        return self.source

    def output(self) -> WebsocketOutput:
        return self.sink

    def connected(self) -> None:
        """The pipeline takes frames: tell the bot that its caller is there."""
        if not self._gone:
            self.events.emit("on_client_connected", self.websocket)

    def disconnected(self) -> None:
        """The caller has left."""
        if self._gone:
            return
        self._gone = True
        if isinstance(self.websocket, CallWebSocket):
            self.websocket.caller_left()
            if self.websocket.moved:
                return
        self.events.emit("on_client_disconnected", self.websocket)

    def close_soon(self, code: int, reason: str) -> None:
        """End the call from our side, with a reason for the log and the far end."""
        if self._closing is None and not self._gone:
            logger.warning("the call is ended: %s", reason)
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(1.0):
                if self.websocket.application_state is WebSocketState.CONNECTED:
                    await self.websocket.close(code, reason[:120])
        except (TimeoutError, RuntimeError):
            pass
        finally:
            self.disconnected()


def _own_serializer(websocket: WebSocket) -> FrameSerializer:
    if isinstance(websocket, CallWebSocket):
        return websocket.serializer
    raise UsageError(
        "FastAPIWebsocketParams needs a serializer for a socket that botrun has not accepted: "
        "serializer=TwilioFrameSerializer(stream_sid=…), for example"
    )
