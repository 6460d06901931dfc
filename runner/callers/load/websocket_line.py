"""`EchoLine`, an echo call's connection to the bot, and a low-cost phone: a WebSocket without tasks.

During the load, incoming messages are only timestamped and kept.
"""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import numpy as np
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.uri import parse_uri

from runner.callers.call import new_wire
from runner.callers.load import ANSWER_TIMEOUT_S
from runner.callers.load.probe import Heard, ProbeSound, probe_sound
from runner.callers.wires import BotSound
from runner.callers.wires.base import PlainWire
from runner.errors import TransportError
from runner.server.access import key_headers
from runner.server.wire.tls import trust_for


class EchoLine(ABC):
    """One call's connection to the bot.

    Attributes:
        probe: the sound to send in a loop.
        ptime_s: length of the audio in a message.
        gone: set when the server has ended the call, or the connection broke.
        why: the reason, as a sentence.
    """

    probe: ProbeSound
    ptime_s: float

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.why = ""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises `TransportError`."""

    @abstractmethod
    def send(self, index: int) -> None:
        """Send the `index`-th piece of the probe."""

    @abstractmethod
    def heard(self) -> list[Heard]:
        """The audio that came back, decoded; call this after the call."""

    @property
    @abstractmethod
    def received(self) -> int:
        """Number of messages or packets received so far."""

    @abstractmethod
    async def hang_up(self) -> None:
        """End the call."""

    def over(self, why: str) -> None:
        """Record that the connection is over."""
        self.why = self.why or why
        self.gone.set()


class PhoneLine(EchoLine):
    """A provider's media socket, or a plain client's."""

    def __init__(self, url: str, transport: str, seed: int) -> None:
        super().__init__()
        self._wire = new_wire(transport)
        self.probe, self.ptime_s = probe_sound(seed, self._wire.sample_rate), self._wire.ptime_ms / 1000
        self._piece = self._wire.sample_rate * self._wire.ptime_ms // 1000
        self._url = url
        if isinstance(self._wire, PlainWire):
            self._url += f"{'&' if '?' in url else '?'}{self._wire.query}"
        self._socket = LightSocket(self._url, self.over)

    async def open(self) -> None:
        await self._socket.open()
        for message in self._wire.opening():
            self._socket.send(message)

    def send(self, index: int) -> None:
        self._socket.send(self._wire.media(self.probe.piece(index, self._piece), time.time()))

    def heard(self) -> list[Heard]:
        found = []
        for at, is_text, data in self._socket.received:
            for event in self._wire.receive(data.decode() if is_text else data):
                if isinstance(event, BotSound) and event.pcm:
                    found.append(Heard(at, np.frombuffer(event.pcm, "<i2") / 32768))
        return found

    @property
    def received(self) -> int:
        return len(self._socket.received)

    async def hang_up(self) -> None:
        stop = self._wire.stop()
        if stop is not None:
            self._socket.send(stop)
        self._socket.close()


class LightSocket(asyncio.Protocol):
    """A WebSocket client on the sans-I/O protocol of `websockets`.

    Attributes:
        received: (arrival, whether it is text, bytes) of each message.
    """

    def __init__(self, url: str, on_gone: Callable[[str], None]) -> None:
        self.received: list[tuple[float, bool, bytes]] = []
        self._url = url
        self._on_gone = on_gone
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._part: tuple[bool, bytes] | None = None
        self._closing = False

    async def open(self) -> None:
        """Connect. Raises `TransportError`."""
        loop, parts = asyncio.get_running_loop(), urlsplit(self._url)
        try:
            self._protocol = ClientProtocol(parse_uri(self._url), max_size=1 << 22)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await loop.create_connection(
                    lambda: self,
                    parts.hostname or "",
                    parts.port or (443 if parts.scheme == "wss" else 80),
                    ssl=trust_for(self._url),
                )
                await self._answered
        except (InvalidURI, ValueError):
            raise TransportError(f"{self._url} is not a WebSocket address (ws://…)") from None
        except TimeoutError:
            self.close()
            raise TransportError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
        except (OSError, InvalidHandshake) as error:
            self.close()
            raise TransportError(str(error)) from None

    def send(self, message: str | bytes) -> None:
        """Send a message; does nothing if the socket is closed."""
        if self._transport is None or self._transport.is_closing():
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    def close(self) -> None:
        """Send a close frame and close."""
        self._closing = True
        if self._transport is None or self._transport.is_closing():
            return
        if self._answered.done() and not self._answered.exception():
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        self._transport.close()

    # ------------------------------------------------------------ called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self._protocol.connect()
        request.headers.update(key_headers(self._url))
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, now)
            elif not self._answered.done():
                self._answer()
        self._flush()

    def _answer(self) -> None:
        if self._protocol.handshake_exc is None:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(self._protocol.handshake_exc)

    def _take(self, frame: Frame, now: float) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._part = frame.opcode is Opcode.TEXT, bytes(frame.data)
        elif frame.opcode is Opcode.CONT and self._part is not None:
            self._part = self._part[0], self._part[1] + bytes(frame.data)
        else:
            return
        if frame.fin:
            self.received.append((now, *self._part))
            self._part = None

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answered.done():
            self._answered.set_exception(OSError("the connection was closed before it was answered"))
        elif not self._closing:
            code, reason = self._protocol.close_code, self._protocol.close_reason
            detail = f"{reason or 'no reason was given'} ({code})" if code else "the connection broke"
            self._on_gone(f"the server ended the call: {detail}")

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
