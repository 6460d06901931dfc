"""A call's WebSocket: its handshake has been read, it tells when the caller left, and it may heal.

A provider that loses its socket opens a second one for the same call (Exotel does so once), and a plain
client comes back with its token: `rejoin` puts the new socket in the place of the broken one, and whoever
reads and writes here does not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

if TYPE_CHECKING:
    from starlette.types import Message

    from runner.serializers.base import FrameSerializer
    from runner.serializers.handshake import HandshakeResult

NORMAL_CLOSURE = 1000
MOVED = 1012
"""The bot's code was saved: a phone of ours that reads this comes again (RFC 6455: service restart)."""

EARLY_MESSAGES = 32
"""Messages for the bot kept while it has not built its transport yet."""

DIRECT = "botrun.direct"
"""The ASGI extension under which our server offers a connection without a task for each message."""


class DirectSocket(Protocol):
    """The connection itself, as `server/wire/websocket_protocol.py` has it."""

    def subscribe(self, on_message: Callable[[str | bytes], None], on_closed: Callable[[int], None]) -> None:
        """Hand over messages as they are read, and at the end the close code."""

    def unsubscribe(self) -> None:
        """Messages wait for ASGI's `receive` again."""

    def post(self, message: str | bytes) -> bool:
        """Send at once; False if the far end must take in more before, or is gone."""

    def is_free(self) -> bool:
        """Whether `post` would send now."""


class AppChannel:
    """Messages between the bot and somebody's application beside the wire: a provider's wire carries none."""

    def __init__(self) -> None:
        self._to_app: Callable[[Any], Awaitable[None]] | None = None
        self._to_bot: Callable[[Any], None] | None = None
        self._early: deque[Any] = deque(maxlen=EARLY_MESSAGES)

    def attach(self, send: Callable[[Any], Awaitable[None]]) -> bool:
        """Let `send` take the bot's messages; False if another does already."""
        if self._to_app is not None:
            return False
        self._to_app = send
        return True

    def detach(self) -> None:
        """Nobody takes the bot's messages any more."""
        self._to_app = None

    async def tell(self, message: Any) -> None:
        """A message of the bot's; nobody may be listening."""
        if self._to_app is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._to_app(message)

    def open(self, take: Callable[[Any], None]) -> None:
        """The bot's side is there: `take` is given the messages, those first that have come already."""
        self._to_bot = take
        while self._early:
            take(self._early.popleft())

    def from_app(self, message: Any) -> None:
        """A message for the bot."""
        if self._to_bot is None:
            self._early.append(message)
        else:
            self._to_bot(message)


class CallWebSocket(WebSocket):
    """An accepted WebSocket, as bots get it.

    Args:
        socket: the accepted socket.
        handshake: what the provider's start message told; None for a plain client.
        serializer: made for this very stream.
        resume_s: how long (s) a broken socket is waited for.

    Attributes:
        left: set when the caller has left for good.
        beside: messages beside the wire.
        serializer: the bot's own, once it has built its transport with one.
        moved: whether the call goes on with the new code.
        transfer: hands the caller to another number; None where there is nobody to do it.
    """

    def __init__(
        self,
        socket: WebSocket,
        *,
        handshake: HandshakeResult | None,
        serializer: FrameSerializer,
        resume_s: float = 0.0,
    ) -> None:
        super().__init__(socket.scope, socket.receive, socket.send)
        self.client_state = self.application_state = WebSocketState.CONNECTED
        self.handshake = handshake
        self.serializer = serializer
        self.left = asyncio.Event()
        self._gone = False
        self.beside = AppChannel()
        self.transfer: Callable[[str], Awaitable[None]] | None = None
        self.moved = False
        self._socket = socket
        self._direct = direct_of(socket)
        self._resume_s = resume_s
        self._rejoined = asyncio.Event()
        self._replaced = asyncio.Event()

    async def receive(self) -> Message:
        """The next message; `websocket.disconnect` only when nobody comes back in time."""
        while True:
            socket = self._socket
            try:
                message = await socket.receive()
            except RuntimeError:
                # Starlette's word for reading on after a disconnect.
                message = {"type": "websocket.disconnect", "code": 1006}
            if message["type"] != "websocket.disconnect":
                return message
            if not await self._goes_on(socket, message.get("code")):
                return message

    async def listen(self, take: Callable[[str | bytes], bool]) -> bool:
        """Hand each message to `take` as it comes, until the caller leaves (True) or `take` says False."""
        while True:
            socket, direct = self._socket, self._direct
            if direct is None:
                return await listen_to(self, take)
            code = await _listen_directly(direct, take)
            if code is None:
                return False
            if not await self._goes_on(socket, code):
                return True

    async def _goes_on(self, socket: WebSocket, code: int | None) -> bool:
        """This socket was closed: whether another one has come, or comes in time."""
        # A far end that closes in good order has left; RFC 6455 7.4.1.
        if socket is not self._socket or (code != NORMAL_CLOSURE and await self._healed()):
            return True
        self.caller_left()
        self.client_state = WebSocketState.DISCONNECTED
        return False

    def is_free(self) -> bool:
        """Whether `post` would send now."""
        return self._direct is not None and not self._gone and self._direct.is_free()

    def post(self, message: str | bytes) -> bool:
        """Send at once, if that can be done; else `send` waits until it can."""
        return self._direct is not None and not self._gone and self._direct.post(message)

    async def send(self, message: Message) -> None:
        """Send; what is sent while the socket is broken is lost, as it would be on the wire."""
        if self.left.is_set():
            return
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.send(message)

    def rejoin(self, socket: WebSocket) -> None:
        """Go on with this accepted socket."""
        self._socket, self._direct = socket, direct_of(socket)
        self._rejoined.set()
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()

    async def until_done(self, socket: WebSocket) -> None:
        """Wait until the caller has left for good, or `socket` was replaced by another."""
        while not self.left.is_set() and self._socket is socket:
            waits = [asyncio.ensure_future(event.wait()) for event in (self.left, self._replaced)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def caller_left(self) -> None:
        """The far end has ended the call."""
        self._gone = True
        self.left.set()
        self._replaced.set()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket from our side; ends the call for providers."""
        if not self.left.is_set():
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await self._socket.close(code, reason[:120])
        self.caller_left()

    async def _healed(self) -> bool:
        if not self._resume_s or self.left.is_set():
            return False
        try:
            async with asyncio.timeout(self._resume_s):
                await self._rejoined.wait()
        except TimeoutError:
            return False
        self._rejoined.clear()
        return True


def direct_of(socket: WebSocket) -> DirectSocket | None:
    """The connection behind a socket, if it is one of our server's."""
    offered = socket.scope.get("extensions", {}).get(DIRECT)
    return None if offered is None else offered["socket"]


async def listen_to(socket: WebSocket, take: Callable[[str | bytes], bool]) -> bool:
    """`CallWebSocket.listen`, for any socket."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return True
        text = message.get("text")
        if not take(message.get("bytes") or b"" if text is None else text):
            return False


async def _listen_directly(direct: DirectSocket, take: Callable[[str | bytes], bool]) -> int | None:
    """The code with which the socket was closed; None if `take` wants no more."""
    over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    def on_message(message: str | bytes) -> None:
        try:
            if not over.done() and not take(message):
                over.set_result(None)
        except Exception as error:  # it belongs to whoever listens, not to the connection
            over.set_exception(error)

    def on_closed(code: int) -> None:
        if not over.done():
            over.set_result(code)

    direct.subscribe(partial(copy_context().run, on_message), on_closed)  # type: ignore[call-arg]
    try:
        return await over
    finally:
        direct.unsubscribe()
