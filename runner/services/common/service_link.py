"""A WebSocket to a service, opened before it is needed and kept for the whole call.

Messages are JSON objects; audio is sent as bytes. It reconnects after growing pauses, unless the service
refuses permanently (a wrong key).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runner.errors import ServiceError, ServiceRefusal
from runner.eventloop.trace_context import trace_headers
from runner.services.common.failures import own_words, refusal

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from runner.processors.base import FrameProcessor

logger = logging.getLogger(__name__)

Message = dict[str, Any]

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 5.0
"""Time (s) that a sentence waits for the connection to open."""

CLOSE_TIMEOUT_S = 0.5
BACK_OFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Pauses (s) before reconnecting; the last one repeats."""

LONGEST_PAUSE_S = 30.0
"""Maximum `Retry-After` (s) that botrun follows."""

STEADY_S = 5.0
"""After a connection of at least this length (s), the pauses start again with the first."""

REFUSED_FOR_S = 30.0
"""Time (s) after a permanent refusal until botrun reconnects for the next sentence."""

MOST_BYTES = 16 * 1024 * 1024
MOST_GARBAGE = 5
POLICY_VIOLATION = 1008
"""RFC 6455, 7.4.1. Services close with it when the key, the voice or the request is wrong."""


class ServiceLink:
    """A WebSocket that reconnects.

    Args:
        service: the service's name in sentences.
        env: the variable with its key, for sentences.
        headers: sent with the handshake; never logged.
        on_message: called with each JSON object received.
        on_open: called each time the connection has opened.
        on_trouble: called once per outage: the connection was lost (`was_open`), or could not be opened.
        goodbye: sent before the connection is closed at the end of the call.
    """

    def __init__(
        self,
        service: str,
        env: str,
        *,
        headers: Mapping[str, str],
        on_message: Callable[[Message], None],
        on_open: Callable[[], None] = lambda: None,
        on_trouble: Callable[[ServiceError, bool], None] = lambda error, was_open: None,
        goodbye: Message | None = None,
    ) -> None:
        self.service = service
        self._env = env
        self._headers = dict(headers)
        self._on_message = on_message
        self._on_open = on_open
        self._on_trouble = on_trouble
        self._goodbye = goodbye
        self._address = ""
        self._owner: FrameProcessor | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None
        self._outbox: asyncio.Queue[str | bytes] | None = None
        self._settled = asyncio.Event()
        self._trouble: ServiceError | None = None
        self._refused_at = 0.0
        self._garbage = 0

    def open(self, owner: FrameProcessor, address: str) -> None:
        """Start connecting, in a task that ends with `owner`'s call."""
        self._owner = owner
        self._address = address
        self._settled.clear()
        self._task = owner.create_task(self._run(), "link")

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent now."""
        return self._outbox is not None

    async def ready(self) -> None:
        """Wait until the connection is open. Raises `ServiceError` if it is refused, or not open in time."""
        if refused := self.refused():
            raise refused
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._settled.wait()
        except TimeoutError:
            raise self._trouble or ServiceError(f"{self.service} does not answer") from None
        if not self.is_open:
            raise self._trouble or ServiceError(f"{self.service} does not answer")

    def refused(self) -> ServiceError | None:
        """Why the service refuses permanently; after `REFUSED_FOR_S`, connects again and returns None."""
        assert self._owner is not None, "open() comes first"
        if self._task is None or not self._task.done():
            return None
        if self._now() - self._refused_at < REFUSED_FOR_S:
            return self._trouble
        self.open(self._owner, self._address)
        return None

    def send(self, message: Message | bytes) -> bool:
        """Queue a message, without waiting. Without a connection nothing is sent, and it returns False."""
        if self._outbox is None:
            return False
        self._outbox.put_nowait(message if isinstance(message, bytes) else json.dumps(message))
        return True

    def reset(self) -> None:
        """Reconnect, because the server is silent."""
        if self._socket is not None:
            self._socket.transport.abort()

    # ------------------------------------------------------------ the connection

    def _now(self) -> float:
        assert self._owner is not None
        return self._owner.processor_setup.clock()

    async def _run(self) -> None:
        failures = 0
        reported = False
        while True:
            began, was_open = self._now(), False
            try:
                async with contextlib.AsyncExitStack() as stack:
                    socket = await self._connect(stack)
                    was_open = True
                    await self._serve(socket)
            except (ServiceError, OSError, TimeoutError) as error:
                self._trouble = trouble = self._named(error)
            if was_open or not reported:
                reported = not was_open
                self._on_trouble(trouble, was_open)
            if isinstance(trouble, ServiceRefusal) and trouble.lasting:
                self._refused_at = self._now()
                self._settled.set()
                return
            steady = was_open and self._now() - began >= STEADY_S
            failures = 0 if steady else failures + 1
            await asyncio.sleep(_pause_s(failures, trouble))

    async def _connect(self, stack: contextlib.AsyncExitStack) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        try:
            return await stack.enter_async_context(
                connect(
                    self._address,
                    additional_headers={**self._headers, **trace_headers()},
                    open_timeout=CONNECT_TIMEOUT_S,
                    close_timeout=CLOSE_TIMEOUT_S,
                    max_size=MOST_BYTES,
                    compression=None,  # compression would not shrink audio, only delay it
                )
            )
        except InvalidStatus as error:
            answer = error.response
            headers = dict(answer.headers.raw_items())
            raise refusal(
                self.service, self._env, answer.status_code, bytes(answer.body or b""), headers
            ) from None
        except WebSocketException as error:
            raise ServiceError(f"{self.service} does not speak WebSocket: {own_words(str(error))}") from error

    async def _serve(self, socket: ClientConnection) -> None:
        """Exchange messages until the connection ends, which raises `ServiceError`."""
        from websockets.exceptions import ConnectionClosed

        self._socket, self._outbox = socket, asyncio.Queue()
        self._trouble, self._garbage = None, 0
        writer = asyncio.create_task(self._write(socket, self._outbox), name=f"{self.service}: send")
        self._settled.set()
        self._on_open()
        try:
            while True:
                self._take(await socket.recv())
        except ConnectionClosed as error:
            raise self._closed(error) from None
        except asyncio.CancelledError:
            await self._say_goodbye(socket)
            raise
        finally:
            self._settled.clear()
            self._socket = self._outbox = None
            writer.cancel()
            await asyncio.wait([writer])

    async def _write(self, socket: ClientConnection, outbox: asyncio.Queue[str | bytes]) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):  # the reader reports it
            while True:
                await socket.send(await outbox.get())

    async def _say_goodbye(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        if self._goodbye is not None:
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await socket.send(json.dumps(self._goodbye))

    def _take(self, data: str | bytes) -> None:
        try:
            message = json.loads(data)
            if not isinstance(message, dict):
                raise TypeError
            self._on_message(message)
            self._garbage = 0
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            # Not JSON, or JSON without the expected fields: one is skipped; several in a row are an error.
            self._garbage += 1
            logger.warning("%s sent a malformed message: %.80r", self.service, own_words(data))
        if self._garbage >= MOST_GARBAGE:
            raise ServiceError(f"{self.service} sends malformed messages")

    def _closed(self, error: Any) -> ServiceError:
        if error.rcvd is None:
            return ServiceError(f"the connection to {self.service} was lost")
        reason = own_words(error.rcvd.reason)
        why = f"{error.rcvd.code}: {reason}" if reason else str(error.rcvd.code)
        sentence = f"{self.service} closed the connection ({why})"
        if error.rcvd.code == POLICY_VIOLATION:
            return ServiceRefusal(sentence, status=400)
        return ServiceError(sentence)

    def _named(self, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        why = "no answer" if isinstance(error, TimeoutError) else str(error)
        return ServiceError(f"{self.service} cannot be reached: {why}")


def _pause_s(failures: int, trouble: ServiceError) -> float:
    wanted = trouble.retry_after_s if isinstance(trouble, ServiceRefusal) else None
    if wanted is not None:
        return min(wanted, LONGEST_PAUSE_S)
    return BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
