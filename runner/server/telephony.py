"""The door for phone calls and plain WebSocket clients.

`/ws` is for any provider: which one it is, its handshake tells. The handshake is read before the bot is
called, so that its arguments are complete. `/ws-client` is for a client of your own: pcm in binary
messages, RTVI in text messages.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import APIRouter, WebSocket

from runner.arguments import WebSocketRunnerArguments
from runner.audio.resampler import RATES
from runner.errors import ProtocolError
from runner.serializers.base import FrameSerializer
from runner.serializers.handshake import HandshakeResult
from runner.serializers.websocket import LABEL, WebSocketFrameSerializer
from runner.server.events import events_route
from runner.session import EndReason, Session, TooManySessionsError, new_session_id
from runner.transports.handshake import read_handshake
from runner.transports.socket import CallWebSocket

if TYPE_CHECKING:
    from runner.server.app import Host

logger = logging.getLogger(__name__)

BOT_GRACE_S = 2.0
"""What a bot may take (s) to end by itself when its caller has left."""

RESUME_S = {"websocket": 10.0, "exotel": 2.0}
"""How long (s) a broken socket is waited for. Exotel opens a second one for the same call, once
(PROTOCOLS.md §4); a plain client comes back with its token."""

POLICY_VIOLATION, TRY_AGAIN_LATER = 1008, 1013


def telephony_router(host: Host) -> APIRouter:
    """The routes of this door."""
    router, door = APIRouter(), _Door(host)
    router.add_api_websocket_route("/ws", door.provider)
    router.add_api_websocket_route("/ws/{token}", door.provider)
    router.add_api_websocket_route("/ws-client", door.client)
    router.add_api_websocket_route("/ws-client/{token}", door.client)
    router.routes.append(events_route(host))
    return router


class _Door:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._calls: dict[str, CallWebSocket] = {}

    # ------------------------------------------------------------ phone providers

    async def provider(self, websocket: WebSocket) -> None:
        """A provider's media socket."""
        await websocket.accept()
        try:
            result = await read_handshake(websocket)
        except ProtocolError as error:
            logger.warning("a socket on /ws was closed: %s", error)
            await _close(websocket, POLICY_VIOLATION, str(error))
            return
        key = f"{result.provider}:{result.call_id or result.stream_id}"
        known = self._calls.get(key)
        if known is not None and result.provider in RESUME_S:
            logger.info("%s opened a second socket for its call: it goes on there", result.provider)
            await self._go_on(known, websocket)
            return
        call = CallWebSocket(
            websocket,
            handshake=result,
            serializer=result.serializer(),
            resume_s=RESUME_S.get(result.provider, 0.0),
        )
        await self._serve(key, websocket, call, self._arguments(call, result))

    def _arguments(self, call: CallWebSocket, told: HandshakeResult) -> WebSocketRunnerArguments:
        settings = self._host.settings
        body = told.custom_parameters if settings.body is None else settings.body
        return WebSocketRunnerArguments(
            websocket=call,
            provider=told.provider,
            stream_id=told.stream_id,
            call_id=told.call_id,
            from_number=told.from_number,
            to_number=told.to_number,
            custom_parameters=dict(told.custom_parameters),
            serializer=call.serializer,
            body=body,
            session_id=new_session_id(),
            pipeline_idle_timeout_secs=settings.idle_secs,
        )

    # ------------------------------------------------------------ plain clients

    async def client(self, websocket: WebSocket, token: str = "") -> None:
        """A client of your own; with the token of a broken socket it goes on where it was."""
        await websocket.accept()
        if token:
            known = self._calls.get(f"client:{token}")
            if known is None:
                await _close(websocket, POLICY_VIOLATION, "there is no call with this token, or no longer")
            else:
                await self._go_on(known, websocket)
            return
        try:
            serializer = _client_serializer(websocket.query_params)
        except ProtocolError as error:
            await _close(websocket, POLICY_VIOLATION, str(error))
            return
        token = secrets.token_urlsafe(16)
        await websocket.send_json({"label": LABEL, "type": "session", "token": token, **_rates(serializer)})
        call = CallWebSocket(websocket, handshake=None, serializer=serializer, resume_s=RESUME_S["websocket"])
        arguments = WebSocketRunnerArguments(
            websocket=call,
            provider="websocket",
            serializer=serializer,
            body={} if self._host.settings.body is None else self._host.settings.body,
            session_id=new_session_id(),
            pipeline_idle_timeout_secs=self._host.settings.idle_secs,
        )
        await self._serve(f"client:{token}", websocket, call, arguments)

    # ------------------------------------------------------------ both

    async def _serve(
        self, key: str, websocket: WebSocket, call: CallWebSocket, arguments: WebSocketRunnerArguments
    ) -> None:
        async def on_end(session: Session) -> None:
            self._calls.pop(key, None)
            await call.aclose(1011 if session.error else 1000, str(session.error or session.end_reason))

        try:
            session = self._host.sessions.start(arguments.provider, arguments, on_end=on_end)
        except TooManySessionsError as error:
            logger.warning("a call was refused: %s", error)
            await _close(websocket, TRY_AGAIN_LATER, str(error))
            return
        self._calls[key] = call
        watching = asyncio.create_task(self._end_when_left(session, call), name=f"left {session.id}")
        try:
            await call.until_done(websocket)
            if call.left.is_set():
                await session.ended.wait()
        finally:
            if call.left.is_set():
                await watching

    async def _end_when_left(self, session: Session, call: CallWebSocket) -> None:
        await call.left.wait()
        await session.end(EndReason.CLIENT_LEFT, BOT_GRACE_S)

    async def _go_on(self, known: CallWebSocket, websocket: WebSocket) -> None:
        known.rejoin(websocket)
        await known.until_done(websocket)


def _client_serializer(query: Mapping[str, str]) -> FrameSerializer:
    """Rates (Hz) from the address: `?sample_rate=16000&output_sample_rate=24000&marks=1`."""
    return WebSocketFrameSerializer(
        sample_rate=_rate(query, "sample_rate", 16000),
        output_sample_rate=_rate(query, "output_sample_rate", 24000),
        marks=query.get("marks") == "1",
    )


def _rate(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) not in RATES:
        raise ProtocolError(f"{name} is {text[:20]!r}, but must be one of {', '.join(map(str, RATES))}")
    return int(text)


def _rates(serializer: FrameSerializer) -> dict[str, int]:
    return {
        "sample_rate": serializer.sample_rate,
        "output_sample_rate": serializer.output_sample_rate,
    }


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        await websocket.close(code, reason[:120])
    except RuntimeError:
        logger.debug("the socket was closed already")
