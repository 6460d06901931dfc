"""Writes the bot's sound to a WebSocket, and marks that report what was played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket

from runner.audio.tracks import wav_header
from runner.errors import BotrunError
from runner.frames import (
    EndTaskFrame,
    OutputDTMFFrame,
    OutputTransportMessageUrgentFrame,
)
from runner.processors.base import UPSTREAM
from runner.serializers.base import (
    ClearFrame,
    FrameSerializer,
    MarkFrame,
)
from runner.transports.output import BaseOutputTransport
from runner.transports.params import FastAPIWebsocketParams
from runner.transports.session_port import SessionPort
from runner.transports.websocket.socket import CallWebSocket


class Marks:
    """The marks sent and not yet returned. Positions are samples, as `Playout` counts them.

    Attributes:
        last: the position of the last mark.
    """

    def __init__(self) -> None:
        self.last = 0
        self._count = 0
        self._on_their_way: deque[tuple[str, int]] = deque()

    def new(self, position: int) -> str:
        """The name of a new mark at this position."""
        self.last = position
        self._count += 1
        return f"botrun-{self._count}"

    def sent(self, name: str) -> None:
        """The newest mark was sent."""
        self._on_their_way.append((name, self.last))

    def reached(self, name: str) -> int | None:
        """The position that has been played; None for an unknown or forgotten mark."""
        for index, (known, position) in enumerate(self._on_their_way):
            if known == name:
                for _ in range(index + 1):
                    self._on_their_way.popleft()
                return position
        return None

    def forget(self, position: int) -> None:
        """Forget all marks: the peer dropped its sound, and returns their marks without playing it."""
        self.last = position
        self._on_their_way.clear()


MOST_LEAD_MS = 400
MARK_EVERY_S = 0.5
"""Interval (s) of marks within an utterance; one more is sent at its end."""


class WebsocketOutput(BaseOutputTransport):
    """Writes the socket: sound slightly ahead of its playout, and marks.

    Args:
        websocket: the accepted socket.
        params: the transport's parameters.
        serializer: the call's serializer.
        port: transfers the caller, and carries an application's messages.
    """

    def __init__(
        self,
        websocket: WebSocket,
        params: FastAPIWebsocketParams,
        serializer: FrameSerializer,
        port: SessionPort,
    ) -> None:
        super().__init__(params, lead_s=min(params.audio_out_lead_ms, MOST_LEAD_MS) / 1000)
        self._add_wav_header = params.add_wav_header
        self._websocket = websocket
        self._serializer = serializer
        self._port = port
        self._marks = Marks()
        self._unclear = False
        self._sending_since: float | None = None
        self.chunk_ms = serializer.chunk_ms
        self.takes_back = serializer.serialize(ClearFrame()) is not None
        self._call = websocket if isinstance(websocket, CallWebSocket) else None
        # A provider's socket carries no messages, but `server/endpoints/call_events.py` may be attached.
        self.carries_messages = self._call is not None or serializer.provider == "websocket"

    def wire_rate(self, asked: int) -> int:
        return self._serializer.output_sample_rate

    async def write_audio(self, pcm: bytes) -> None:
        await self._post(self._message(pcm))
        if self._mark_is_due():
            await self._mark()

    def try_write(self, take: Callable[[], bytes]) -> bool:
        if self._call is None or self._mark_is_due():
            return False
        return self._call.try_send(lambda: self._message(take()))

    def _message(self, pcm: bytes) -> str | bytes | None:
        if self._add_wav_header:
            pcm = wav_header(len(pcm), self.sample_rate) + pcm
        # Set before sending: an interruption may come meanwhile.
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
        """The peer has returned a mark. Marks returned because of a clear are forgotten already."""
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
        if self._port.transfer is None:
            await super().transfer_call(to)
            return
        try:
            await self._port.transfer(to)
        except BotrunError as error:
            await self.push_error(f"Could not transfer the caller: {error}")
        else:
            await self.push_frame(EndTaskFrame(reason="the caller was transferred"), UPSTREAM)

    async def send_message(self, message: Any) -> None:
        on_wire = self._serializer.serialize(OutputTransportMessageUrgentFrame(message))
        if on_wire is not None:
            await self._post(on_wire)
        else:
            await self._port.app.send(message)

    def stuck_s(self, now: float) -> float:
        """Time (s) for which the current message has been waiting to be sent."""
        return 0.0 if self._sending_since is None else now - self._sending_since

    async def _post(self, message: str | bytes | None) -> None:
        if message is None or (self._call is not None and self._call.try_send(lambda: message)):
            return
        self._sending_since = self.processor_setup.clock()
        kind = "text" if isinstance(message, str) else "bytes"
        await self._websocket.send({"type": "websocket.send", kind: message})
        self._sending_since = None
