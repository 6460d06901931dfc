"""A call's socket as a Pipecat bot expects it: its first messages can be read, the goodbye plays out.

Pipecat closes the socket behind the last message: here the close waits until the caller has heard it. The two
seconds of silence that Pipecat sends at the end, in one message, are left out. Exotel's rules
for the size of messages, which Pipecat breaks, are kept by cutting its sound again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketState

from runner.errors import ProtocolError
from runner.eventloop.waiting import first_of
from runner.serializers.base import MarkFrame, MarkReachedFrame
from runner.serializers.exotel import LARGEST, MULTIPLE, smallest_payload
from runner.serializers.telephony import Collector
from runner.transports.session_port import SessionPort
from runner.transports.websocket.socket import CallWebSocket, SocketMessage, content_of

if TYPE_CHECKING:
    from starlette.types import Message

FLUSH_S = 0.25
"""Exotel: sound that is not followed by more for so long (s) is the end of an utterance, and is sent."""

REPORT_S = 1.0
"""How much later (s) than computed the provider may report that the last sound was played."""

GOODBYE = "botrun-goodbye"

PADDING_S = 0.5
"""A silence in one message that is longer (s) is Pipecat's padding behind the last sound."""

MOST_IN_SILENCE = 4
"""Number of different base64 characters in silence, of any encoding: one byte again and again."""

_SOUND = ("media", "playAudio")
_CLEAR = ("clear", "clearAudio")


class PhoneSocket(WebSocket):
    """Wraps the call's socket. To bots it is an accepted `fastapi.WebSocket`.

    Args:
        call: the call's socket.
        port: the session's.

    Attributes:
        closed: set when the bot has closed the socket and its last sound was played.
    """

    def __init__(self, call: CallWebSocket, port: SessionPort) -> None:
        super().__init__(call.scope, call.receive, call.send)
        self.client_state = self.application_state = WebSocketState.CONNECTED
        self._call = call
        self._port = port
        self._heard = deque(_with_numbers(call))
        self._bytes_per_s = max(call.call.media_format.bytes_in(1000), 1)
        self.closed = asyncio.Event()
        self._played_until = 0.0
        self._playing_out: asyncio.Task[None] | None = None
        self._recut = _Recut(call) if call.call.provider == "exotel" else None

    async def accept(self, *args: Any, **options: Any) -> None:
        """It was accepted before the bot was called."""

    # ------------------------------------------------------------ in

    async def receive(self) -> Message:
        if self._heard:
            content = self._heard.popleft()
            return {"type": "websocket.receive", "text" if isinstance(content, str) else "bytes": content}
        message = await self._call.receive()
        if message["type"] == "websocket.disconnect":
            if self._port.moved:
                # The call continues with newer code: for the caller nothing ends, so the bot's clean-up is
                # not run. The session cancels this code.
                await asyncio.Event().wait()
            self.client_state = WebSocketState.DISCONNECTED
        return message

    # ------------------------------------------------------------ out

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            # The session closes the socket, and hangs up, when the bot is done.
            self.application_state = WebSocketState.DISCONNECTED
            await self.played_out()
            self.closed.set()
            return
        content = content_of(message)
        parsed = _parsed(content)
        event = parsed.get("event")
        if event in _CLEAR:
            self._played_until = 0.0
            if self._recut is not None:
                self._recut.clear()
        elif event in _SOUND:
            if self._is_padding(parsed):
                return
            if self._recut is not None:
                await self._post_all(self._recut.add(parsed))
                self._recut.flush_later(self._flush)
                return
            self._count(parsed)
        await self._call.send(message)

    async def _post_all(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self._count(message)
            await self._call.send({"type": "websocket.send", "text": json.dumps(message)})

    async def _flush(self) -> None:
        if self._recut is not None:
            await self._post_all(self._recut.flush())

    def _is_padding(self, message: dict[str, Any]) -> bool:
        """Whether this is nothing but a long silence."""
        payload = (message.get("media") or {}).get("payload") or ""
        long = len(payload) * 3 / 4 > PADDING_S * self._bytes_per_s
        return long and len(set(payload.rstrip("="))) <= MOST_IN_SILENCE

    def _count(self, message: dict[str, Any]) -> None:
        """Add the length of this sound to what the caller has still to hear."""
        media = message.get("media") or {}
        payload = media.get("payload") or ""
        seconds = len(payload) * 3 / 4 / self._bytes_per_s
        self._played_until = max(self._played_until, _now()) + seconds

    # ------------------------------------------------------------ the goodbye

    @property
    def caller_left(self) -> bool:
        """Whether the caller has hung up, or is lost."""
        return self._call.left.is_set()

    async def played_out(self) -> None:
        """Wait until the provider reports that the last sound was played, if it reports such."""
        if self._playing_out is None:
            loop = asyncio.get_running_loop()
            self._playing_out = loop.create_task(self._play_out(), name="goodbye")
        await asyncio.shield(self._playing_out)

    async def _play_out(self) -> None:
        await self._flush()
        left_s = self._played_until - _now()
        if left_s < -REPORT_S or self._call.left.is_set() or self._port.moved:
            return
        serializer = self._port.serializer
        mark = None if serializer is None else serializer.serialize(MarkFrame(GOODBYE))
        if mark is None:
            await first_of(self._call.left.wait(), timeout_s=max(left_s, 0.0))
            return
        await self._call.send({"type": "websocket.send", "text": mark})
        await first_of(self._mark_returned(), self._call.left.wait(), timeout_s=max(left_s, 0.0) + REPORT_S)

    async def _mark_returned(self) -> None:
        serializer = self._port.serializer
        assert serializer is not None
        while (message := await self._call.receive())["type"] != "websocket.disconnect":
            with contextlib.suppress(ProtocolError):
                if MarkReachedFrame(GOODBYE) in serializer.deserialize(content_of(message)):
                    return


class _Recut:
    """Collects sound of any length into messages that Exotel takes."""

    def __init__(self, call: CallWebSocket) -> None:
        media_format = call.call.media_format
        self._stream_id = call.call.stream_id
        smallest = smallest_payload(media_format)
        self._collector = Collector(smallest=smallest, multiple=MULTIPLE, largest=LARGEST)
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def add(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages that are full with this one."""
        payload = base64.b64decode((message.get("media") or {}).get("payload") or "")
        made, piece = [], self._collector.add(payload)
        while piece:
            made.append(self._message(piece))
            piece = self._collector.add(b"")
        return made

    def flush(self) -> list[dict[str, Any]]:
        """The rest, padded with silence."""
        made = []
        while piece := self._collector.flush():
            made.append(self._message(piece))
        return made

    def clear(self) -> None:
        """Drop what was collected."""
        self._collector.clear()

    def flush_later(self, flush: Any) -> None:
        """Flush when no more sound comes."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()

        def begin() -> None:
            self._flushing = loop.create_task(flush(), name="exotel flush")

        self._timer = loop.call_later(FLUSH_S, begin)

    def _message(self, pcm: bytes) -> dict[str, Any]:
        payload = base64.b64encode(pcm).decode()
        return {"event": "media", "stream_sid": self._stream_id, "media": {"payload": payload}}


def _with_numbers(call: CallWebSocket) -> list[SocketMessage]:
    """The messages of the handshake. Twilio sends the numbers only as custom parameters, whose names Pipecat
    reads: those that the webhook had are added."""
    info = call.call
    if info.provider != "twilio" or not (info.from_number or info.to_number):
        return list(call.handshake)
    messages = list[SocketMessage]()
    for content in call.handshake:
        parsed = _parsed(content)
        if parsed.get("event") == "start" and isinstance(parsed.get("start"), dict):
            numbers = {"from_number": info.from_number, "to_number": info.to_number}
            given = parsed["start"].get("customParameters") or {}
            known = {name: number for name, number in numbers.items() if number}
            parsed["start"]["customParameters"] = {**known, **given}
            content = json.dumps(parsed)
        messages.append(content)
    return messages


def _parsed(content: SocketMessage) -> dict[str, Any]:
    """A message's JSON object; {} if it is none."""
    if not isinstance(content, str):
        return {}
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _now() -> float:
    return asyncio.get_running_loop().time()
