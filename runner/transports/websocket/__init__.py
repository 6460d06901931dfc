"""Audio over a WebSocket: a phone provider's media stream, or a plain client; and their first messages."""

from __future__ import annotations

import asyncio
import logging
import weakref

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from runner.errors import ProtocolError, UsageError
from runner.serializers.base import FrameSerializer
from runner.serializers.handshake import CallInfo, Handshake
from runner.transports.base import BaseTransport
from runner.transports.params import FastAPIWebsocketParams, TransportParams
from runner.transports.session_port import HangUpPolicy, current_port
from runner.transports.websocket.input import WebsocketInput
from runner.transports.websocket.output import WebsocketOutput
from runner.transports.websocket.socket import CallWebSocket, Ending

__all__ = ["FastAPIWebsocketParams", "FastAPIWebsocketTransport"]

logger = logging.getLogger(__name__)

CLOSE_S = 1.0

HANDSHAKE_S = 5.0
"""Time (s) within which the start message must come."""

_read: weakref.WeakKeyDictionary[WebSocket, CallInfo] = weakref.WeakKeyDictionary()


class FastAPIWebsocketTransport(BaseTransport):
    """A phone call or a plain client over a WebSocket.

    Events: `on_client_connected(transport, websocket)`, `on_client_disconnected(transport, websocket)`
    (once; not where the call continues with the bot's new code), `on_app_message(transport, message,
    websocket)`.

    Args:
        websocket: `runner_args.websocket`, or an accepted socket of your own.
        params: what is carried. Its serializer is required for your own socket, and is otherwise by default
            `runner_args.serializer`.

    Raises:
        UsageError: a socket of your own, without a serializer.
    """

    def __init__(self, websocket: WebSocket, params: TransportParams) -> None:
        super().__init__()
        self.websocket = websocket
        self.params = FastAPIWebsocketParams.of(params)
        self._port = port = current_port()
        self.serializer = _need(self.params.serializer or port.serializer)
        port.hang_up = HangUpPolicy(
            auto_hang_up=self.serializer.auto_hang_up, credentials=self.serializer.credentials
        )
        port.disconnect = self._disconnect
        self._gone = False
        self._closing: asyncio.Task[None] | None = None
        self._output = WebsocketOutput(websocket, self.params, self.serializer, port)
        self._input = WebsocketInput(
            websocket,
            self.params,
            self.serializer,
            output=self._output,
            events=self.events,
            line=self,
            port=port,
        )

    def input(self) -> WebsocketInput:
        return self._input

    def output(self) -> WebsocketOutput:
        return self._output

    def connected(self) -> None:
        """The pipeline takes frames: run the bot's `on_client_connected`."""
        if not self._gone:
            self._port.connected()
            self.events.emit("on_client_connected", self.websocket)

    def disconnected(self) -> None:
        """The caller has left."""
        if self._gone:
            return
        self._gone = True
        if isinstance(self.websocket, CallWebSocket):
            self.websocket.caller_left()
            if self._port.moved:
                return
        self.events.emit("on_client_disconnected", self.websocket)

    def _disconnect(self) -> bool:
        """botrun stops: emit `on_client_disconnected`; the caller stays connected until the bot has ended."""
        if not self._gone:
            self._gone = True
            self.events.emit("on_client_disconnected", self.websocket)
        return self.events.has_handler("on_client_disconnected")

    def close_soon(self, code: int, reason: str, ending: Ending) -> None:
        """End the call, with a reason for the log and the peer."""
        if self._closing is None and not self._gone:
            logger.warning("botrun ends the call: %s", reason)
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason, ending))

    async def _close(self, code: int, reason: str, ending: Ending) -> None:
        try:
            if isinstance(self.websocket, CallWebSocket):
                await self.websocket.aclose(code, reason, ending=ending, detail=reason)
            elif self.websocket.application_state is WebSocketState.CONNECTED:
                async with asyncio.timeout(CLOSE_S):
                    await self.websocket.close(code, reason[:120])
        except (TimeoutError, RuntimeError):
            logger.debug("could not send a close frame")
        finally:
            self.disconnected()


def _need(serializer: FrameSerializer | None) -> FrameSerializer:
    if serializer is None:
        raise UsageError(
            "FastAPIWebsocketParams needs a serializer for a socket that botrun has not accepted: "
            "serializer=TwilioFrameSerializer(stream_sid=…), for example"
        )
    return serializer


# ------------------------------------------------------------------ the first messages


async def read_handshake(
    websocket: WebSocket, deadline_s: float = HANDSHAKE_S, *, heard: list[str | bytes] | None = None
) -> CallInfo:
    """Read messages up to the start message, and append them to `heard`.

    Raises:
        ProtocolError: it did not come in time, or is not a known provider's.
    """
    handshake = Handshake()
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    raise ProtocolError("the socket was closed before its start message")
                content = message.get("text") or message.get("bytes") or ""
                if heard is not None:
                    heard.append(content)
                result = handshake.feed(content)
                if result is not None:
                    return result
    except TimeoutError:
        raise ProtocolError(f"no start message came within {deadline_s:g} s") from None
    except WebSocketDisconnect:
        raise ProtocolError("the socket was closed before its start message") from None


async def parse_telephony_websocket(websocket: WebSocket) -> tuple[str, CallInfo]:
    """The provider's name ("websocket" for a plain client) and the data of its handshake.

    botrun has already read the handshake of sockets that it accepted. On your own socket, the first
    messages are read with a deadline; a second call returns the same.

    Raises:
        ProtocolError: no start message came, or it is not a known provider's.
    """
    if isinstance(websocket, CallWebSocket):
        call = websocket.call
    elif websocket in _read:
        call = _read[websocket]
    else:
        call = _read[websocket] = await read_handshake(websocket)
    return call.provider, call
