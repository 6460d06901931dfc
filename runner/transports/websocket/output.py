"""The bot's sound on its way into a WebSocket, and the marks that tell what was played of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.audio.wav import wav_header
from runner.errors import BotrunError
from runner.frames import (
    EndTaskFrame,
    OutputDTMFFrame,
    OutputTransportMessageUrgentFrame,
)
from runner.processors.base import UPSTREAM
from runner.serializers.base import (
    ClearFrame,
    MarkFrame,
)
from runner.transports.output import BaseOutputTransport
from runner.transports.websocket.marks import Marks
from runner.transports.websocket.socket import CallWebSocket

if TYPE_CHECKING:
    from runner.transports.websocket.transport import FastAPIWebsocketTransport

MOST_LEAD_MS = 400
MARK_EVERY_S = 0.5
"""Playout is asked for at the end of each utterance, and at least so often (s) in between."""


class WebsocketOutput(BaseOutputTransport):
    """Writes the socket: sound a little ahead of its playout, and marks to learn what was played."""

    def __init__(self, transport: FastAPIWebsocketTransport) -> None:
        lead_ms = min(transport.params.audio_out_lead_ms, MOST_LEAD_MS)
        super().__init__(transport.params, lead_s=lead_ms / 1000)
        self._transport = transport
        self._serializer = transport.serializer
        self._marks = Marks()
        self._unclear = False
        self._sending_since: float | None = None
        self.wire_hz = transport.serializer.output_sample_rate
        self.chunk_ms = transport.serializer.chunk_ms
        self.takes_back = transport.serializer.serialize(ClearFrame()) is not None
        # A provider's wire carries no messages, but `server/endpoints/call_events.py` may listen beside it.
        self._socket = transport.websocket if isinstance(transport.websocket, CallWebSocket) else None
        self.carries_messages = self._socket is not None or transport.serializer.provider == "websocket"

    async def write_audio(self, pcm: bytes) -> None:
        await self._post(self._message(pcm))
        if self._mark_is_due():
            await self._mark()

    def is_free(self) -> bool:
        return self._socket is not None and self._socket.is_free() and not self._mark_is_due()

    def write_at_once(self, pcm: bytes) -> None:
        message = self._message(pcm)
        if message is not None and self._socket is not None:
            self._socket.post(message)

    def _message(self, pcm: bytes) -> str | bytes | None:
        if self._transport.params.add_wav_header:
            pcm = wav_header(len(pcm), self.sample_rate) + pcm
        # Before it is sent: an interruption may come while it is on its way.
        self._unclear = True
        return self._serializer.serialize_sound(pcm)

    def _mark_is_due(self) -> bool:
        if self._heard.speech_until <= self._marks.last:
            return False
        return self.playout.written - self._marks.last >= MARK_EVERY_S * self.sample_rate

    async def utterance_written(self) -> None:
        while (message := self._serializer.flush()) is not None:
            await self._post(message)
        if self.playout.written > self._marks.last:
            await self._mark()

    async def _mark(self) -> None:
        name = self._marks.new(self.playout.written)
        message = self._serializer.serialize(MarkFrame(name))
        if message is not None:
            self._marks.sent(name)
            self.playout.mark()
            await self._post(message)

    def mark_reached(self, name: str) -> None:
        """The far end has played up to this mark. Those that a clear returned are forgotten already."""
        position = self._marks.reached(name)
        if position is not None:
            self.heard_up_to(position)

    def clear_audio(self) -> None:
        self._marks.forget(self.playout.written)
        if self._unclear:
            self._unclear = False
            self.create_task(self._post(self._serializer.serialize(ClearFrame())), "clear")

    def dtmf_message(self, digit: str) -> Any:
        return self._serializer.serialize(OutputDTMFFrame(digit))

    async def send_dtmf(self, message: Any) -> None:
        await self._post(message)

    async def transfer_call(self, to: str) -> None:
        socket = self._socket
        if socket is None or socket.transfer is None:
            await super().transfer_call(to)
            return
        try:
            await socket.transfer(to)
        except BotrunError as error:
            await self.push_error(f"the caller could not be handed on: {error}")
        else:
            await self.push_frame(EndTaskFrame(reason="the caller was handed on"), UPSTREAM)

    async def send_message(self, message: Any) -> None:
        on_wire = self._serializer.serialize(OutputTransportMessageUrgentFrame(message))
        if on_wire is not None:
            await self._post(on_wire)
        elif self._socket is not None:
            await self._socket.beside.tell(message)

    def stuck_s(self, now: float) -> float:
        """How long (s) the message that is being sent has been waiting."""
        return 0.0 if self._sending_since is None else now - self._sending_since

    async def _post(self, message: str | bytes | None) -> None:
        if message is None:
            return
        if self._socket is not None and self._socket.post(message):
            return
        socket = self._transport.websocket
        self._sending_since = self.lent.clock()
        if isinstance(message, str):
            await socket.send({"type": "websocket.send", "text": message})
        else:
            await socket.send({"type": "websocket.send", "bytes": message})
        self._sending_since = None
