"""A call's WebSocket, which can continue on a second socket.

It is read even before the bot has created its transport: messages wait in a bounded queue, so that pings are
answered and a hang-up is noticed while the bot is still loading.

A provider that loses its socket opens a second one for the same call (Exotel does so once), and a plain
client reconnects with its token: `rejoin` replaces the lost socket with the new one, and the transport
continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.eventloop.waiting import first_of

if TYPE_CHECKING:
    from starlette.types import Message

    from runner.serializers.handshake import CallInfo
    from runner.transports.tape import Tape

logger = logging.getLogger(__name__)

NORMAL_CLOSURE, GOING_AWAY, NO_STATUS, ABNORMAL = 1000, 1001, 1005, 1006
"""Close codes, RFC 6455 7.4.1."""

LEFT_CODES = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS})
PROTOCOL_CODES = frozenset({1002, 1007, 1009})

MOVED = 1012
"""The bot's code was saved; the local phone reconnects on this close code (RFC 6455: service restart)."""

EARLY_MESSAGES = 512
EARLY_BYTES = 1 << 20
"""Maximum size of messages queued until the bot has created its transport: 10 s of a phone's sound."""

CLOSE_S = 1.0
"""Time (s) for closing when the peer reads no more data."""

DIRECT = "botrun.direct"
"""The ASGI extension with which botrun's server offers a connection that wakes no task per message."""

SocketMessage = str | bytes
Take = Callable[[SocketMessage], bool]
"""Handles a message; returns False to get no more."""


class Ending(Enum):
    """How a call ended at the caller's side."""

    LEFT = auto()
    """The caller hung up, or closed the socket normally."""
    LOST = auto()
    """The connection was lost, or carried no more data."""
    BROKE_PROTOCOL = auto()
    """The caller violated the protocol."""


class DirectSocket(Protocol):
    """The connection itself, implemented by `server/wire/websocket_protocol.py`."""

    def subscribe(
        self, on_message: Callable[[SocketMessage], None], on_closed: Callable[[int, str], None]
    ) -> None:
        """Pass messages as they are read, and at the end the close code and reason."""

    def unsubscribe(self) -> None:
        """Queue messages for ASGI's `receive` again."""

    def try_send(self, make: Callable[[], SocketMessage | None]) -> bool:
        """Send what `make` returns; False, without calling it, if the peer must read more first."""


class EarlyMessages:
    """Messages that wait for the bot. When there are too many, the oldest sound is dropped first.

    Attributes:
        dropped: how many were dropped.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._messages: deque[SocketMessage] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def add(self, message: SocketMessage) -> None:
        """Keep a message."""
        self._messages.append(message)
        self._bytes += len(message)
        while len(self._messages) > EARLY_MESSAGES or self._bytes > EARLY_BYTES:
            self._drop_one()

    def pop(self) -> SocketMessage:
        """The oldest message. Raises `IndexError` if there is none."""
        message = self._messages.popleft()
        self._bytes -= len(message)
        return message

    def _drop_one(self) -> None:
        if not self.dropped:
            logger.warning("the bot is not reading its caller yet: old sound is dropped")
        self.dropped += 1
        index = next((i for i, message in enumerate(self._messages) if _is_sound(message)), 0)
        self._bytes -= len(self._messages[index])
        del self._messages[index]


def _is_sound(message: SocketMessage) -> bool:
    return isinstance(message, bytes) or '"media"' in message[:40]


class CallWebSocket(WebSocket):
    """An accepted WebSocket, as bots get it. Call `start_reading` once; `aclose` ends it.

    Args:
        socket: the accepted socket.
        call: the handshake's data of the call; read-only.
        resume_s: time (s) within which a lost socket can be replaced.
        ends_call: returns whether a message means that the provider has ended the call; used only for
            messages that arrive before the bot reads.
        handshake: the messages in which the call was announced.

    Attributes:
        left: set when the caller has left for good.
        ending: how the caller left; LEFT while the call lasts.
        detail: more about that, in a phrase; "" if there is nothing to add.
        handshake: the messages in which the call was announced.
        tape: takes all messages, for the call's record; None if it is not recorded.
    """

    def __init__(
        self,
        socket: WebSocket,
        call: CallInfo,
        *,
        resume_s: float = 0.0,
        ends_call: Callable[[SocketMessage], bool] | None = None,
        handshake: Sequence[SocketMessage] = (),
    ) -> None:
        super().__init__(socket.scope, socket.receive, socket.send)
        self.client_state = self.application_state = WebSocketState.CONNECTED
        self._call = call
        self.handshake = tuple(handshake)
        self.left = asyncio.Event()
        self.ending = Ending.LEFT
        self.detail = ""
        self.tape: Tape | None = None
        self._gone = False
        self._socket = socket
        self._direct = direct_of(socket)
        self._resume_s = resume_s
        self._ends_call = ends_call
        self._rejoined = asyncio.Event()
        self._replaced = asyncio.Event()
        self._early = EarlyMessages()
        self._arrived = asyncio.Event()
        self._take: Take = self._keep
        self._reader: asyncio.Task[None] | None = None
        self._code = NORMAL_CLOSURE
        self._listening: asyncio.Future[bool] | None = None

    @property
    def call(self) -> CallInfo:
        """The handshake's data of the call."""
        return self._call

    # ------------------------------------------------------------ in

    def start_reading(self) -> None:
        """Read from now on; messages are queued for `listen` or `receive`."""
        if self._reader is None:
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="read socket")

    async def receive(self) -> Message:
        """The next message; `websocket.disconnect` only if the caller does not reconnect in time."""
        self.start_reading()
        while not self._early:
            if self._gone:
                return {"type": "websocket.disconnect", "code": self._code}
            self._arrived.clear()
            await first_of(self._arrived.wait(), self.left.wait())
        message = self._early.pop()
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def listen(self, take: Take) -> bool:
        """Pass each message to `take`, until the caller leaves (True) or `take` returns False."""
        self.start_reading()
        while self._early:
            if not take(self._early.pop()):
                return False
        over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_message(message: SocketMessage) -> bool:
            if over.done():
                return True
            try:
                goes_on = take(message)
            except Exception as error:  # an error of the listener, not of the connection
                if over.done():
                    logger.exception("reading the last message of a call failed")
                else:
                    over.set_exception(error)
                return True
            # A `stop` may have ended the call while it was being read.
            if not goes_on and not over.done():
                over.set_result(False)
            return True

        self._take = partial(copy_context().run, on_message)  # type: ignore[call-arg]
        self._listening = over
        if self.left.is_set():
            over.set_result(True)
        try:
            return await over
        finally:
            self._take, self._listening = self._keep, None

    def _keep(self, message: SocketMessage) -> bool:
        self._early.add(message)
        self._arrived.set()
        if self._ends_call is not None and self._ends_call(message):
            self.caller_left()
        return True

    def _hand_over(self, message: SocketMessage) -> None:
        if self.tape is not None:
            self.tape.received(message)
        self._take(message)

    async def _read(self) -> None:
        """Read this socket and its replacements."""
        while True:
            socket, direct = self._socket, self._direct
            code, reason = await (self._read_asgi(socket) if direct is None else self._read_direct(direct))
            if socket is not self._socket:
                continue
            # A peer that closes normally has left (RFC 6455 7.4.1) and does not reconnect.
            if code == NORMAL_CLOSURE or not await self._reconnected():
                break
        self._code, self.client_state = code, WebSocketState.DISCONNECTED
        self.caller_left(*_ending(code, reason))

    async def _read_direct(self, direct: DirectSocket) -> tuple[int, str]:
        closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

        def on_closed(code: int, reason: str) -> None:
            if not closed.done():
                closed.set_result((code, reason))
            if code == NORMAL_CLOSURE and direct is self._direct:
                self.caller_left()  # nobody reconnects: no need to wait for the reader

        direct.subscribe(self._hand_over, on_closed)
        try:
            return await closed
        finally:
            direct.unsubscribe()

    async def _read_asgi(self, socket: WebSocket) -> tuple[int, str]:
        while True:
            try:
                message = await socket.receive()
            except RuntimeError:  # raised by Starlette when reading after a disconnect
                return ABNORMAL, ""
            if message["type"] == "websocket.disconnect":
                return message.get("code") or ABNORMAL, message.get("reason") or ""
            self._hand_over(content_of(message))

    # ------------------------------------------------------------ out

    def try_send(self, make: Callable[[], SocketMessage | None]) -> bool:
        """Send what `make` returns, if that can be done without waiting; else False, and use `send`."""
        if self._direct is None or self._gone:
            return False
        if (tape := self.tape) is None:
            return self._direct.try_send(make)
        return self._direct.try_send(lambda: tape.sent(make()))

    async def send(self, message: Message) -> None:
        """Send a message; it is lost while the socket is disconnected, as it would be on the wire."""
        if self.left.is_set():
            return
        if message["type"] == "websocket.close":
            self._gone = True
        elif self.tape is not None:
            self.tape.sent(content_of(message))
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.send(message)

    # ------------------------------------------------------------ another socket

    def rejoin(self, socket: WebSocket) -> None:
        """Continue with this accepted socket."""
        self._socket, self._direct = socket, direct_of(socket)
        self._rejoined.set()
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()

    async def until_done(self, socket: WebSocket) -> None:
        """Wait until the caller has left for good, or `socket` was replaced by another."""
        while not self.left.is_set() and self._socket is socket:
            await first_of(self.left.wait(), self._replaced.wait())

    async def _reconnected(self) -> bool:
        if not self._resume_s or self.left.is_set():
            return False
        try:
            async with asyncio.timeout(self._resume_s):
                await self._rejoined.wait()
        except TimeoutError:
            return False
        self._rejoined.clear()
        return True

    # ------------------------------------------------------------ the end

    def caller_left(self, ending: Ending = Ending.LEFT, detail: str = "") -> None:
        """The caller has ended the call. The first ending counts."""
        if not self._gone:
            self._gone, self.ending, self.detail = True, ending, detail
        self.left.set()
        self._replaced.set()
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(True)

    def report_disconnect(self) -> bool:
        """botrun stops: a bot that reads this socket itself gets a disconnect."""
        self.caller_left()
        return True

    async def aclose(
        self,
        code: int = NORMAL_CLOSURE,
        reason: str = "",
        *,
        ending: Ending = Ending.LEFT,
        detail: str = "",
    ) -> None:
        """Send a close frame, if the socket is open; for providers this ends the call.

        `ending` and `detail` say how the call ended, if the caller has not left before.
        """
        if not self._gone:
            self._gone, self.ending, self.detail = True, ending, detail
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code, reason[:120])
        self.caller_left()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})


def direct_of(socket: WebSocket) -> DirectSocket | None:
    """The connection behind a socket, if it is one of botrun's server."""
    offered = socket.scope.get("extensions", {}).get(DIRECT)
    return None if offered is None else offered["socket"]


def content_of(message: Message) -> SocketMessage:
    """The text or the bytes of an ASGI message."""
    text = message.get("text")
    return message.get("bytes") or b"" if text is None else text


def _ending(code: int, reason: str) -> tuple[Ending, str]:
    if code in LEFT_CODES:
        return Ending.LEFT, ""
    if code in PROTOCOL_CODES:
        return Ending.BROKE_PROTOCOL, reason
    if code == ABNORMAL:
        return Ending.LOST, reason or "the TCP connection closed without a close frame"
    return Ending.LOST, reason or f"the socket was closed with code {code}"
