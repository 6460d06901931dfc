"""WebSocket connections under uvicorn, optimised for many small messages.

ASGI's `receive` and `send` wake a task for each message. The scope also offers a socket that does not:
`scope["extensions"][DIRECT]["socket"]` is a `transports.websocket.socket.DirectSocket`. Like uvicorn's
`WebSocketsSansIOProtocol`, it uses websockets for the frames (`websocket_frames.py`); the I/O is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected, get_remote_addr
from websockets.exceptions import SecurityError
from websockets.frames import CloseCode
from websockets.protocol import OPEN

from runner.eventloop.batched_reads import rounds_of
from runner.server.wire.connection_limits import ConnectionLimits
from runner.server.wire.http_protocol import websocket_scope
from runner.server.wire.websocket_frames import FrameProtocol, Message, data_frame
from runner.transports.websocket.socket import DIRECT

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

logger = logging.getLogger(__name__)

POLICY_VIOLATION, TRY_AGAIN_LATER = CloseCode.POLICY_VIOLATION, CloseCode.TRY_AGAIN_LATER

MAX_WAITING = 32
"""Maximum number of messages queued for the application; then reading pauses."""

HANDSHAKE_S = 10.0
"""Time (s) for the application to accept or refuse a connection."""

MAX_UNANSWERED = 3
"""Number of pings after which a silent client is disconnected. Several, because TCP's retransmissions back
off for longer than a short network outage lasts."""

CLOSE_S = 10.0
"""Time (s) for the client to answer a close frame."""

ANSWER_S = 1.0
"""Time (s) for the application to answer earlier messages before a client's error closes the connection."""

DISCARD_S = 3.0
"""Time (s) for which input is discarded after the last byte. Closing with unread input resets the connection,
and the client may lose the close code."""

SHUTDOWN_S = 0.2
"""The same time (s) when the server stops."""

UNSENT_BYTES = 16384
"""Maximum number of unsent bytes in the kernel. The default is megabytes: minutes of a phone's sound."""


class WebSocketProtocol(asyncio.Protocol):
    """One connection, from its upgrade request to its end."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._limits = limits or ConnectionLimits()
        self._rounds = rounds_of(self._loop)
        self._frames = FrameProtocol(self._wait_for_app, config.ws_max_size)
        self._waiting: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._on_closed: Callable[[int, str], None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._handshaking = True
        self._open = self._closing = self._half_closed = self._gone = False
        self._paused = self._full = self._receiving = self._failed = False
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._client = (get_remote_addr(self._transport) or ("a client",))[0]
        self._server.connections.add(cast(Any, self))
        self._set_timer(HANDSHAKE_S, self._refuse_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rounds.leave(self._transport)
        self._server.connections.discard(cast(Any, self))
        self._limits.closed(self._transport)
        self._open = False
        self._closing = True
        self._frames.on_message = _ignore
        self._set_timer(None)
        self._writable.set()
        self._report_gone(CloseCode.ABNORMAL_CLOSURE)

    def pause_writing(self) -> None:
        self._full = self._frames.skip_pongs = True
        self._writable.clear()

    def resume_writing(self) -> None:
        self._full = self._frames.skip_pongs = False
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._unanswered = 0
        if self._handshaking:
            self._read_request(data)
            return
        self._frames.feed(data)
        if self._frames.writes and not self._failed:
            if self._frames.state is not OPEN and self._frames.close_rcvd is None and self._app_is_behind():
                self._fail_soon()
            else:
                self._flush()

    def shutdown(self) -> None:
        """The server stops."""
        if self._handshaking:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._close(CloseCode.SERVICE_RESTART, "")
            self._end_sending(SHUTDOWN_S)

    # ------------------------------------------------------------ handshake

    def _read_request(self, data: bytes) -> None:
        request = self._frames.read_request(data)
        if request is None:
            # uvicorn passes the whole request in one piece, so a request without a result never gets one.
            self._reject_request(self._frames.handshake_exc)
            return
        self._response = self._frames.accept(request)
        if self._response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._respond()
            self._transport.close()
            return
        self._waiting.put_nowait({"type": "websocket.connect"})
        scope = websocket_scope(request, self._transport, self._config)
        scope |= {"state": self._app_state.copy(), "extensions": {DIRECT: {"socket": self}}}
        task = self._loop.create_task(self._run(scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def _reject_request(self, error: Exception | None) -> None:
        """Answer an upgrade request that the parser refused: 431 above its size limits, otherwise 400."""
        cause = error.__cause__ if error else None
        too_large = isinstance(error, SecurityError) or isinstance(cause, SecurityError)
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
        logger.debug("refused a WebSocket request with %d: %s", status, error)
        self._handshaking, self._closing = False, True
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.close()

    def _refuse_late(self) -> None:
        logger.warning("the application did not answer a WebSocket request within %g s", HANDSHAKE_S)
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)

    async def _run(self, scope: dict[str, Any]) -> None:
        code = CloseCode.NORMAL_CLOSURE
        try:
            await self._config.loaded_app(cast(Any, scope), cast(Any, self.receive), cast(Any, self.send))
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("the application failed while serving WebSocket %s", scope["path"])
            code = CloseCode.INTERNAL_ERROR
        finally:
            if self._handshaking:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            else:
                self._close(code, "")

    def _accept(self, message: MutableMapping[str, Any]) -> None:
        for name, value in message.get("headers") or ():
            self._response.headers[name.decode("latin-1")] = value.decode("latin-1")
        if message.get("subprotocol"):
            self._response.headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._respond()
        self._open = True
        self._limits.verified(self._transport)
        bound_send_buffer(self._transport)
        self._set_timer(self._config.ws_ping_interval, self._ping)

    def _refuse(self, status: HTTPStatus) -> None:
        self._response = self._frames.reject(status, "")
        self._respond()
        self._report_gone(CloseCode.ABNORMAL_CLOSURE)
        self._transport.close()

    def _respond(self) -> None:
        self._handshaking = False
        self._closing = self._response.status_code != HTTPStatus.SWITCHING_PROTOCOLS
        self._frames.send_response(self._response)
        self._transport.write(b"".join(self._frames.data_to_send()))

    # ------------------------------------------------------------ in

    def _wait_for_app(self, message: Message) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._waiting.put_nowait({"type": "websocket.receive", kind: message})
        if self._waiting.qsize() > MAX_WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI's `receive`."""
        if self._failed and self._waiting.empty():
            self._flush()
        self._receiving = True
        try:
            message = await self._waiting.get()
        finally:
            self._receiving = False
        self._read_on()
        return message

    def _app_is_behind(self) -> bool:
        """Whether the application still has messages to answer."""
        return self._on_closed is None and not (self._receiving and self._waiting.empty())

    def _fail_soon(self) -> None:
        """Close after the application has answered earlier messages; send pongs now."""
        *pongs, close, end = self._frames.data_to_send()
        self._transport.write(b"".join(pongs))
        self._frames.writes += [close, end]
        self._failed = True
        self._set_timer(ANSWER_S, self._flush)

    def _read_on(self) -> None:
        if self._paused and self._waiting.empty():
            self._paused = False
            self._transport.resume_reading()

    def subscribe(self, on_message: Callable[[Message], None], on_closed: Callable[[int, str], None]) -> None:
        """Pass messages as they are read, queued ones first; at the end pass the close code, once."""
        while not self._waiting.empty():
            waiting = self._waiting.get_nowait()
            if waiting["type"] == "websocket.receive":
                on_message(waiting["text"] if "text" in waiting else waiting["bytes"])
            elif waiting["type"] == "websocket.disconnect":
                on_closed(waiting["code"], waiting.get("reason", ""))
        self._on_closed = on_closed
        if not self._closing:
            self._frames.on_message = on_message
        self._read_on()
        if not self._transport.is_closing():
            self._rounds.join(self._transport, self.data_received)

    def unsubscribe(self) -> None:
        """Queue messages for `receive` again."""
        self._rounds.leave(self._transport)
        self._on_closed = None
        if not self._closing:
            self._frames.on_message = self._wait_for_app

    # ------------------------------------------------------------ out

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's `send`."""
        await self._writable.wait()
        kind = message["type"]
        if self._closing:
            raise ClientDisconnected
        if self._handshaking and kind == "websocket.accept":
            self._accept(message)
        elif self._handshaking and kind == "websocket.close":
            self._refuse(HTTPStatus.FORBIDDEN)
        elif self._open and kind == "websocket.send":
            text = message.get("text")
            self._write(text if text is not None else message["bytes"])
        elif self._open and kind == "websocket.close":
            self._close(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason") or "")
        else:
            raise RuntimeError(f"{kind!r} may not be sent now")

    def try_send(self, make: Callable[[], Message | None]) -> bool:
        """Send what `make` returns; False, without calling it, if the client must read first or is
        disconnected."""
        if not self._open or self._full:
            return False
        message = make()
        if message is not None:
            self._write(message)
        return True

    def _write(self, message: Message) -> None:
        if self._frames.writes and not self._failed:
            self._flush()  # a pong whose ping came before this message
        self._transport.write(data_frame(message))

    def _flush(self) -> None:
        """Write what websockets has to send, and close the connection if it does."""
        frames = self._frames
        writes = frames.data_to_send()
        if frames.state is not OPEN:
            self._begin_closing(frames.close_rcvd or frames.close_sent)
        self._transport.write(b"".join(writes))
        if b"" in writes and not self._half_closed:
            # websockets' marker for the end of output.
            self._end_sending(DISCARD_S)

    # ------------------------------------------------------------ ends

    def _close(self, code: int, reason: str) -> None:
        """Close the connection, and wait for the client's close frame."""
        if not self._closing:
            self._set_timer(CLOSE_S, self._transport.abort)
            self._frames.close(code, reason)
            self._flush()

    def _begin_closing(self, close: Any) -> None:
        if self._closing:
            return
        self._open = False
        self._closing = True
        self._frames.on_message = _ignore
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._report_gone(close.code, close.reason)

    def _end_sending(self, discard_s: float) -> None:
        """Half-close; discard input until the client closes or the deadline passes."""
        if self._transport.is_closing():
            return
        self._half_closed = True
        self._set_timer(discard_s, self._transport.abort)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS, which has no half-closed state
            self._transport.close()

    def _report_gone(self, code: int, reason: str = "") -> None:
        if self._gone:
            return
        self._gone = True
        if self._on_closed is not None:
            self._on_closed(code, reason)
        else:
            self._waiting.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _ping(self) -> None:
        interval_s = self._config.ws_ping_interval or 0.0
        # While reading is paused, no pong can be received.
        if self._unanswered >= MAX_UNANSWERED and not self._paused:
            silent_s = MAX_UNANSWERED * interval_s
            logger.warning("WebSocket from %s: nothing came for %g s; closing", self._client, silent_s)
            self._close(CloseCode.INTERNAL_ERROR, f"nothing came for {silent_s:g} s, not even a pong")
            return
        self._unanswered += 1
        if not self._full:
            self._frames.send_ping(b"")
            self._flush()
        self._set_timer(interval_s, self._ping)

    def _set_timer(self, delay_s: float | None, then: Callable[[], object] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, then) if delay_s and then else None


def _ignore(message: Message) -> None:
    """Discard messages after the end."""


def bound_send_buffer(transport: asyncio.Transport) -> None:
    """Limit the kernel's buffer for a client that does not read, if the system supports it."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    sock = transport.get_extra_info("socket")
    if option is None or sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # uvloop's socket is incomplete.
    with contextlib.suppress(OSError), socket.fromfd(sock.fileno(), sock.family, sock.type) as whole:
        whole.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)


async def close(websocket: WebSocket, code: int, reason: str) -> None:
    """Close a socket, unless it is closed already."""
    try:
        await websocket.close(code, reason[:120])
    except (RuntimeError, WebSocketDisconnect):
        logger.debug("the socket was closed already")
