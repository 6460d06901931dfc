"""WebSocket connections under uvicorn, made for many small messages.

Beside ASGI's `receive` and `send`, which wake a task for each message, the scope offers a way without one:
`scope["extensions"][DIRECT]["socket"]` is a `transports.socket.DirectSocket`. The handshake is made by the
package websockets, the frames by `websocket_frames.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.utils import ClientDisconnected
from websockets.exceptions import SecurityError
from websockets.http11 import Request
from websockets.server import ServerProtocol

from runner.eventloop.batched_reads import rounds_of
from runner.server.wire import websocket_frames as ws
from runner.server.wire.asgi_scope import asgi_scope
from runner.server.wire.websocket_frames import Control, FrameError, FrameReader, Message, frame
from runner.transports.websocket.socket import DIRECT

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

log = logging.getLogger(__name__)

MOST_WAITING = 32
"""So many messages may wait for the application; then no more are read."""

CLOSE_S = 10.0
"""How long (s) the far end may take to answer our close frame."""


class WebSocketProtocol(asyncio.Protocol):
    """One connection, from the request that asks for an upgrade to its end."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._rounds = rounds_of(self._loop)
        self._handshake: ServerProtocol | None = ServerProtocol()
        self._reader = FrameReader(self._wait_for_app, self._control, config.ws_max_size)
        self._waiting: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._on_closed: Callable[[int], None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._requested = self._open = self._closing = self._gone = self._paused = self._full = False
        self._alive = True
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._rounds.leave(self._transport)
        self._server.connections.discard(cast(Any, self))
        self._open = False
        self._closing = True
        self._reader.on_message = _nobody
        self._set_timer(None)
        self._writable.set()
        self._tell_gone(ws.ABNORMAL)

    def pause_writing(self) -> None:
        self._full = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._full = False
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._alive = True
        try:
            if self._requested:
                self._reader.feed(data)
            else:
                self._read_request(data)
        except FrameError as error:
            self._fail(error.code, error.reason)
            self._transport.close()

    def shutdown(self) -> None:
        """The server stops."""
        if self._handshake is not None:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._fail(ws.RESTART, "")
            self._transport.close()

    # ------------------------------------------------------------ handshake

    def _read_request(self, data: bytes) -> None:
        assert self._handshake is not None
        self._handshake.receive_data(data)
        for request in self._handshake.events_received():
            assert isinstance(request, Request)
            self._requested = True
            self._response = self._handshake.accept(request)
            if self._response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                self._respond()
                self._transport.close()
                return
            self._waiting.put_nowait({"type": "websocket.connect"})
            scope = asgi_scope(request, self._transport, self._config)
            scope |= {"state": self._app_state.copy(), "extensions": {DIRECT: {"socket": self}}}
            task = self._loop.create_task(self._run(scope))
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)
        if not self._requested:
            self._reject_request(self._handshake.handshake_exc)

    def _reject_request(self, error: Exception | None) -> None:
        """Answer an upgrade request that the parser refused: 431 above its size limits, otherwise 400.

        uvicorn passes the whole request in one piece, so a request without a result never gets one.
        """
        self._requested = self._closing = True
        self._handshake = None
        too_large = isinstance(error, SecurityError) or isinstance(
            error.__cause__ if error else None, SecurityError
        )
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        log.debug("refused a WebSocket request with %d: %s", status, error)
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.close()

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._config.loaded_app(cast(Any, scope), cast(Any, self.receive), cast(Any, self.send))
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("the application failed while serving WebSocket %s", scope["path"])
            if self._handshake is None and not self._closing:
                self._fail(ws.INTERNAL_ERROR, "")
        finally:
            if self._handshake is not None:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            elif not self._closing:
                self._transport.close()

    def _accept(self, message: MutableMapping[str, Any]) -> None:
        for name, value in message.get("headers") or ():
            self._response.headers[name.decode("latin-1")] = value.decode("latin-1")
        if message.get("subprotocol"):
            self._response.headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._respond()
        self._open = True
        self._set_timer(self._config.ws_ping_interval, self._beat)

    def _refuse(self, status: HTTPStatus) -> None:
        assert self._handshake is not None
        self._response = self._handshake.reject(status, "")
        self._respond()
        self._closing = True
        self._tell_gone(ws.ABNORMAL)
        self._transport.close()

    def _respond(self) -> None:
        assert self._handshake is not None
        self._handshake.send_response(self._response)
        self._transport.write(b"".join(self._handshake.data_to_send()))
        self._handshake = None

    # ------------------------------------------------------------ in

    def _wait_for_app(self, message: Message) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._waiting.put_nowait({"type": "websocket.receive", kind: message})
        if self._waiting.qsize() > MOST_WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _control(self, control: Control) -> None:
        if self._closing:
            if control.opcode == ws.CLOSE:
                self._transport.close()
        elif control.opcode == ws.PING:
            # RFC 6455 section 5.5.3 lets us skip pongs: a client that does not read must not fill our memory.
            if not self._full:
                self._transport.write(frame(ws.PONG, control.payload))
        elif control.opcode == ws.CLOSE:
            code, reason = ws.read_close(control.payload)
            self._send_close(code, reason)
            self._tell_gone(code, reason)
            self._transport.close()

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI's."""
        message = await self._waiting.get()
        self._read_on()
        return message

    def _read_on(self) -> None:
        if self._paused and self._waiting.empty():
            self._paused = False
            self._transport.resume_reading()

    def subscribe(self, on_message: Callable[[Message], None], on_closed: Callable[[int], None]) -> None:
        """Hand over messages as they are read, those first that wait; at the end the close code, once."""
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting["type"] == "websocket.receive":
                on_message(waiting["text"] if "text" in waiting else waiting["bytes"])
            elif waiting["type"] == "websocket.disconnect":
                on_closed(waiting["code"])
        self._on_closed = on_closed
        if not self._closing:
            self._reader.on_message = on_message
        self._read_on()
        if not self._transport.is_closing():
            self._rounds.join(self._transport, self.data_received)

    def unsubscribe(self) -> None:
        """Messages wait for `receive` again."""
        self._rounds.leave(self._transport)
        self._on_closed = None
        if not self._closing:
            self._reader.on_message = self._wait_for_app

    # ------------------------------------------------------------ out

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's."""
        await self._writable.wait()
        kind = message["type"]
        if self._handshake is not None and kind == "websocket.accept":
            self._accept(message)
        elif self._handshake is not None and kind == "websocket.close":
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self._closing:
            raise ClientDisconnected
        elif kind == "websocket.send":
            text = message.get("text")
            self.post(text if text is not None else message["bytes"])
        elif kind == "websocket.close":
            self._fail(message.get("code", ws.NORMAL), message.get("reason") or "")
        else:
            raise RuntimeError(f"{kind!r} may not be sent now")

    def is_free(self) -> bool:
        """Whether `post` would send now."""
        return self._open and not self._full

    def post(self, message: Message) -> bool:
        """Send at once; False if the far end must take in more before, or is gone."""
        if not self._open or self._full:
            return False
        if isinstance(message, str):
            self._transport.write(frame(ws.TEXT, message.encode()))
        else:
            self._transport.write(frame(ws.BINARY, message))
        return True

    # ------------------------------------------------------------ ends

    def _fail(self, code: int, reason: str) -> None:
        """Close from our side, and wait for the far end's answer."""
        if not self._closing:
            self._send_close(code, reason)
            self._tell_gone(code, reason)
            self._set_timer(CLOSE_S, self._transport.abort)

    def _send_close(self, code: int, reason: str) -> None:
        self._open = False
        self._closing = True
        self._reader.on_message = _nobody
        self._set_timer(None)
        self._transport.write(frame(ws.CLOSE, ws.close_payload(code, reason)))
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _tell_gone(self, code: int, reason: str = "") -> None:
        if self._gone:
            return
        self._gone = True
        if self._on_closed is not None:
            self._on_closed(code)
        else:
            self._waiting.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _beat(self) -> None:
        """Whoever has not even answered the last ping is gone."""
        if not self._alive:
            self._fail(ws.INTERNAL_ERROR, "no answer to a ping")
            return
        self._alive = False
        self._transport.write(frame(ws.PING, b""))
        self._set_timer(self._config.ws_ping_interval, self._beat)

    def _set_timer(self, delay_s: float | None, then: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, then) if delay_s and then else None


def _nobody(message: Message) -> None:
    """Takes what comes behind the end."""
