"""The endpoint for phone calls and plain WebSocket clients.

`/ws` serves all providers: the handshake names the provider. It is read before the bot is called, so that the
bot's arguments are complete. `/ws-client` serves your own clients: pcm in binary messages and RTVI in text
messages, or both in Pipecat's protobuf frames.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.routing import Router, WebSocketRoute
from starlette.websockets import WebSocket

from runner.arguments import WebSocketRunnerArguments
from runner.audio.resampler import RATES, Resampler
from runner.errors import ProtocolError
from runner.eventloop import worker_prefix
from runner.processors.handover_state import Conversation
from runner.serializers.base import FrameSerializer
from runner.serializers.handshake import CallInfo, is_stop_message
from runner.serializers.protobuf import ProtobufFrameSerializer
from runner.serializers.websocket import LABEL, WebSocketFrameSerializer
from runner.server.endpoints.call_events import events_route
from runner.server.forwarding import HEARD, RESUME_S, Rejoining, go_on, key_of
from runner.server.handover.peers import PhonePeer, can_move, wait_for_mended_code
from runner.server.host import socket_origin
from runner.server.wire.websocket_protocol import POLICY_VIOLATION, TRY_AGAIN_LATER, close
from runner.sessions.registry import TooManySessionsError
from runner.sessions.session import EndReason, Session, new_session_id
from runner.transports.session_port import HangUpPolicy, SessionPort
from runner.transports.websocket import read_handshake
from runner.transports.websocket.socket import CallWebSocket, Ending

if TYPE_CHECKING:
    from runner.serializers.base import FrameSerializer
    from runner.server.host import Host

logger = logging.getLogger(__name__)

BOT_GRACE_S = 2.0
"""Time (s) for a bot to end by itself after its caller has left."""

START_KEPT_S = 60.0
MAX_ANNOUNCED = 256
END_REASONS = {
    Ending.LEFT: EndReason.CLIENT_LEFT,
    Ending.LOST: EndReason.CONNECTION_LOST,
    Ending.BROKE_PROTOCOL: EndReason.PROTOCOL_ERROR,
}

VOICE_RATES, PHONE_HZ = (16000, 22050, 24000, 44100, 48000), 8000


def media_socket_router(host: Host) -> Router:
    """The routes of this endpoint."""
    endpoint = MediaSocketEndpoint(host)
    routes = {"/ws": endpoint.provider, "/ws/{token}": endpoint.provider}
    routes |= {"/ws-client": endpoint.client, "/ws-client/{token}": endpoint.client}
    host.starters["websocket"] = endpoint.start
    sockets = (WebSocketRoute(path, accept) for path, accept in routes.items())
    return Router([*sockets, events_route(host)])


def design_filters() -> None:
    """Compute the resampling filters from common voice rates to a phone's before the first call: 22050 Hz
    alone takes 15 ms, which would delay the first answer."""
    for rate in VOICE_RATES:
        Resampler(rate, PHONE_HZ)


class CallEnding(Protocol):
    """How a call ends at its provider."""

    async def transfer(self, to: str) -> None:
        """Transfer the caller to this number.

        Raises:
            BotrunError: it failed; the call continues.
        """

    async def finish(self, policy: HangUpPolicy) -> None:
        """The session is over: hang up as `policy` says."""


class LocalCallEnding:
    """A call of the local phone, without a provider."""

    async def transfer(self, to: str) -> None:
        logger.info("a provider would transfer the caller to %s; on this machine the call ends", to)

    async def finish(self, policy: HangUpPolicy) -> None:
        return


@dataclass(frozen=True, kw_only=True)
class Carried:
    """Data of a call beyond its start message.

    Attributes:
        call_ending: ends the call at its provider.
        from_number: the caller's number, from the webhook.
        to_number: the called number.
        call_s: maximum length of the call (s); 0 = only the limit for all calls.
        tells_errors: whether the bot's error is sent to the caller.
        public: whether the call came through the public address.
    """

    call_ending: CallEnding = field(default_factory=LocalCallEnding)
    from_number: str = ""
    to_number: str = ""
    call_s: float = 0.0
    tells_errors: bool = True
    public: bool = False


@dataclass(frozen=True, slots=True)
class _Announced:
    """A client's session announced by `/start` whose socket has not connected yet."""

    body: Any
    at: float


class MediaSocketEndpoint:
    """Turns the sockets of phone providers and plain clients into sessions.

    Attributes:
        rejoining: finds calls that continue on another socket.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._calls = host.calls
        self.rejoining = Rejoining(host)
        self._announced: dict[str, _Announced] = {}
        host.knows.append(self._knows)
        design_filters()

    def _knows(self, name: str) -> bool:
        """Whether an active or announced call has this key or token."""
        token = _client_key(name)
        announced = name in self._announced
        return announced or name in self._calls or token in self._calls or self._host.moves.has(token)

    # ------------------------------------------------------------ phone providers

    async def provider(self, websocket: WebSocket) -> None:
        """A provider's media socket, opened by the local phone."""
        await websocket.accept()
        result = await self.handshake(websocket)
        if result is None:
            return
        if (owner := await self.rejoining.elsewhere(result)) is not None:
            await self.rejoining.pass_on(owner, websocket)
        else:
            await self.take(websocket, result, Carried())

    async def handshake(self, websocket: WebSocket) -> CallInfo | None:
        """The data of the start message; None if it is invalid and the socket was closed."""
        heard: list[str | bytes] = []
        websocket.scope[HEARD] = heard
        try:
            return await read_handshake(websocket, heard=heard)
        except ProtocolError as error:
            logger.warning("a media socket was closed: %s", error)
            await close(websocket, POLICY_VIOLATION, str(error))
            return None

    @property
    def refusal(self) -> str:
        """Why a call announced by a webhook is refused; "" if it is accepted."""
        return self._host.sessions.busy

    async def take(self, websocket: WebSocket, info: CallInfo, carried: Carried) -> None:
        """Start the bot for this call, or continue the call on a new socket. Returns when it is over."""
        if (known := self.rejoining.call_of(info)) is not None:
            await go_on(known, websocket, info.provider)
            return
        info = replace(
            info,
            from_number=carried.from_number or info.from_number,
            to_number=carried.to_number or info.to_number,
        )
        call = CallWebSocket(
            websocket,
            info,
            resume_s=RESUME_S.get(info.provider, 0.0),
            ends_call=is_stop_message,
            handshake=websocket.scope.get(HEARD, ()),
        )
        port = SessionPort(
            serializer=info.serializer(),
            transfer=carried.call_ending.transfer,
            disconnect=call.report_disconnect,
        )
        key = key_of(info)
        moved = self._host.moves.claim(key)
        conversation = Conversation(moved)
        arguments = self._arguments(call, info, conversation, port)
        if moved is not None:
            arguments = replace(arguments, body=moved["body"], session_id=moved["session"])
        await self._serve(key, websocket, call, arguments, carried, port, conversation)

    def _arguments(
        self, call: CallWebSocket, info: CallInfo, conversation: Conversation, port: SessionPort
    ) -> WebSocketRunnerArguments:
        settings = self._host.settings
        body = info.custom_parameters if settings.body is None else settings.body
        return WebSocketRunnerArguments(
            websocket=call,
            provider=info.provider,
            stream_id=info.stream_id,
            call_id=info.call_id,
            from_number=info.from_number,
            to_number=info.to_number,
            custom_parameters=dict(info.custom_parameters),
            serializer=port.serializer,
            call_data=info,
            body=body,
            session_id=new_session_id(),
            pipeline_idle_timeout_secs=settings.idle_secs,
            session_state=conversation.state,
            resumed=conversation.resumed,
        )

    # ------------------------------------------------------------ plain clients

    async def client(self, websocket: WebSocket) -> None:
        """A plain client's socket. With the token of a lost socket, its call continues."""
        await websocket.accept()
        token = websocket.path_params.get("token") or websocket.query_params.get("token", "")
        known = self._calls.get(_client_key(token)) if token else None
        if known is not None:
            await go_on(known, websocket)
            return
        moved = self._host.moves.claim(_client_key(token)) if token else None
        announced = self._take_announced(token) if token and moved is None else None
        of_pipecat = announced is not None and websocket.query_params.get("format") != "pcm"
        if token and moved is None and announced is None:
            await close(websocket, POLICY_VIOLATION, "no call has this token (any more)")
            return
        try:
            serializer = client_serializer(websocket.query_params, protobuf=of_pipecat)
        except ProtocolError as error:
            await close(websocket, POLICY_VIOLATION, str(error))
            return
        body = announced.body if announced is not None else None
        await self._take_client(websocket, serializer, token or secrets.token_urlsafe(16), moved, body)

    async def start(self, request: Request, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Announce a client's session; dropped if its socket does not connect within `START_KEPT_S`."""
        token = worker_prefix() + secrets.token_urlsafe(16)
        self._host.sessions.reserve(_client_key(token), START_KEPT_S)
        self._forget_announced()
        self._announced[token] = _Announced(asked.get("body"), time.monotonic())
        # Pipecat's client accepts these two fields and no others. It appends the token to the address again.
        pcm = "&format=pcm" if asked.get("format") == "pcm" else ""
        return {"wsUrl": f"{socket_origin(request)}/ws-client?token={token}{pcm}", "token": token}

    def _take_announced(self, token: str) -> _Announced | None:
        self._forget_announced()
        return self._announced.pop(token, None)

    def _forget_announced(self) -> None:
        oldest = time.monotonic() - START_KEPT_S
        for token, announced in list(self._announced.items()):
            if announced.at < oldest or len(self._announced) >= MAX_ANNOUNCED:
                del self._announced[token]

    async def _take_client(
        self,
        websocket: WebSocket,
        serializer: FrameSerializer,
        token: str,
        moved: dict[str, Any] | None,
        given: Any,
    ) -> None:
        if isinstance(serializer, WebSocketFrameSerializer):
            session = {"label": LABEL, "type": "session", "token": token}
            await websocket.send_json({**session, **rates_of(serializer)})
        call = CallWebSocket(websocket, CallInfo(provider="websocket"), resume_s=RESUME_S["websocket"])
        port = SessionPort(serializer=serializer, disconnect=call.report_disconnect)
        conversation = Conversation(moved)
        arguments = WebSocketRunnerArguments(
            websocket=call,
            provider="websocket",
            serializer=serializer,
            body=moved["body"] if moved else given or self._host.settings.body or {},
            session_id=moved["session"] if moved else new_session_id(),
            pipeline_idle_timeout_secs=self._host.settings.idle_secs,
            session_state=conversation.state,
            resumed=conversation.resumed,
        )
        await self._serve(_client_key(token), websocket, call, arguments, Carried(), port, conversation)

    # ------------------------------------------------------------ both

    async def _serve(
        self,
        key: str,
        websocket: WebSocket,
        call: CallWebSocket,
        arguments: WebSocketRunnerArguments,
        carried: Carried,
        port: SessionPort,
        conversation: Conversation | None = None,
    ) -> None:
        async def on_end(session: Session) -> None:
            if self._host.moves.keep(session):
                await wait_for_mended_code(call, session.waits_over)
            self._host.moves.forget(session.id)
            self._calls.pop(key, None)
            error = session.error if carried.tells_errors else None
            code, reason = 1011 if session.error else 1000, str(error or session.end_reason)
            # Concurrently, so that the caller does not wait in silence for the provider's answer.
            await asyncio.gather(call.aclose(code, reason), carried.call_ending.finish(port.hang_up))

        sessions = self._host.sessions
        try:
            session = sessions.start(
                arguments.provider,
                arguments,
                on_end=on_end,
                call_s=carried.call_s,
                conversation=conversation,
                port=port,
                public=carried.public,
                slot=key,
            )
        except TooManySessionsError as error:
            logger.warning("a call was refused: %s", error)
            await asyncio.gather(
                close(websocket, TRY_AGAIN_LATER, str(error)), carried.call_ending.finish(port.hang_up)
            )
            return
        call.tape = port.tape
        if session.recording is not None:
            session.recording.received_before(websocket.scope.get(HEARD, []))
        call.start_reading()
        self._calls[key] = call
        if can_move(websocket):
            self._host.moves.register(session, key, PhonePeer(call, port))
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
        await session.end(END_REASONS[call.ending], BOT_GRACE_S, detail=call.detail)


def _client_key(token: str) -> str:
    return f"client:{token}"


def client_serializer(query: Mapping[str, str], *, protobuf: bool = False) -> FrameSerializer:
    """The serializer for a URL's query: `?sample_rate=16000&output_sample_rate=24000&marks=1` (Hz).

    `protobuf`: the client sends Pipecat's frames; otherwise its first binary message decides.
    """
    if protobuf or query.get("format") == "protobuf":
        return ProtobufFrameSerializer(
            sample_rate=_rate(query, "sample_rate", 16000),
            output_sample_rate=_rate(query, "output_sample_rate", 24000),
        )
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


def rates_of(serializer: FrameSerializer) -> dict[str, int]:
    """The sample rates (Hz), for the client's first message."""
    return {
        "sample_rate": serializer.sample_rate,
        "output_sample_rate": serializer.output_sample_rate,
    }
