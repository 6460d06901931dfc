"""Signaling for WebRTC: turns an offer into a session. Formats: `reference/PROTOCOLS.md` §6.

The routes are in `api.py`. Requests that fail raise `ApiError`, `ProtocolError` or `TooManySessionsError`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from runner.arguments import SmallWebRTCRunnerArguments
from runner.botcode.failure import advice_of
from runner.errors import BotrunError, ProtocolError
from runner.eventloop.waiting import first_of
from runner.processors.handover_state import Conversation
from runner.rtvi import messages
from runner.server.access import is_loopback
from runner.server.handover.other_workers import MOVED_STATUS
from runner.server.handover.peers import SdkPeer, WebRTCPeer, is_sdk_offer
from runner.server.host import ApiError, Host
from runner.services.common import warmup
from runner.sessions.registry import TooManySessionsError
from runner.sessions.session import EndReason, Session, new_session_id
from runner.transports.session_port import SessionPort
from runner.transports.webrtc import CloseReason, SmallWebRTCConnection
from runner.transports.webrtc.media_ports import restrict_ports, with_address
from runner.transports.webrtc.signaling.offer import check_offer

if TYPE_CHECKING:
    from runner.transports.webrtc.inbound import InboundRtp
    from runner.transports.webrtc.peer import Peer

logger = logging.getLogger(__name__)

START_KEPT_SECS = 60.0
MAX_STARTS = 256
MAX_PATCH_CANDIDATES = 64
LEAVE_GRACE_SECS = 2.0
TELL_FAILURE_SECS = 5.0

_END_REASONS = {
    CloseReason.LEFT: EndReason.CLIENT_LEFT,
    CloseReason.LOST: EndReason.CONNECTION_LOST,
    CloseReason.UNREACHED: EndReason.CONNECTION_LOST,
    CloseReason.FAILED: EndReason.CONNECTION_LOST,
    CloseReason.NEVER_CONNECTED: EndReason.NEVER_CONNECTED,
}


@dataclass(frozen=True, slots=True)
class _Start:
    """An announced session without an offer yet."""

    body: Any
    at: float


PIPECATS_STUN = "stun:stun.l.google.com:19302"
"""Returned, as by Pipecat's runner, to clients that ask for default ICE servers. botrun itself uses none."""


class WebRTCEndpoint:
    """The announced sessions, and the connections of active ones."""

    def __init__(self, host: Host) -> None:
        warmup.register("webrtc", self._warm_up)
        self._host = host
        self._starts: dict[str, _Start] = {}
        self._connections: dict[str, SmallWebRTCConnection] = {}
        self._of_session: dict[str, SmallWebRTCConnection] = {}
        self._sdk_peers: dict[str, SdkPeer] = {}
        host.knows.append(lambda name: name in self._connections or name in self._starts)
        host.moves.announced.append(self._give_starts)

    async def _warm_up(self) -> None:
        if self._host.settings.media_ports:
            restrict_ports(asyncio.get_running_loop(), *self._host.settings.media_ports)
        await warm_up()

    async def start(self, request: Request, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Announce a session; dropped if no offer comes within `START_KEPT_SECS`."""
        self._forget_old_starts()
        session_id = new_session_id()
        self._starts[session_id] = _Start(asked.get("body"), time.monotonic())
        self._host.sessions.reserve(session_id, START_KEPT_SECS)
        servers = [_ice_server(server) for server in self._host.settings.ice_servers]
        if not servers and asked.get("enableDefaultIceServers"):
            servers = [{"urls": [PIPECATS_STUN]}]
        ice = {"iceConfig": {"iceServers": servers}} if servers else {}
        return {"sessionId": session_id, **ice}

    async def offer(self, request: Request, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the offer of a new call, or another offer of an active call."""
        session_id = request.path_params.get("session_id")
        known = self._known(asked.get("pc_id"), session_id)
        if known is None:
            return await self._begin(request, asked, session_id)
        # An offer for an active session without its pc_id comes from a new page, so it needs a new peer.
        if (sdk_peer := self._sdk_peers.get(known.pc_id)) is not None and sdk_peer.is_asked:
            await self._redirect(sdk_peer, bool(asked.get("restart_pc")))
        restart = bool(asked.get("restart_pc")) or asked.get("pc_id") != known.pc_id
        await known.renegotiate(asked.get("sdp", ""), asked.get("type", ""), restart)
        return self._answer(known)

    async def trickle(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Add ICE candidates that were found after the offer."""
        known = self._known(asked.get("pc_id"), None)
        if known is None:
            raise ApiError(404, "no connection has this pc_id; it may have ended")
        candidates = asked.get("candidates")
        if not isinstance(candidates, list) or len(candidates) > MAX_PATCH_CANDIDATES:
            raise ProtocolError(f"candidates must be a list of at most {MAX_PATCH_CANDIDATES}")
        for candidate in candidates:
            if not isinstance(candidate, dict):
                raise ProtocolError("each candidate must be an object")
            mid, line = candidate.get("sdp_mid"), candidate.get("sdp_mline_index")
            await known.add_ice_candidate(candidate.get("candidate"), mid, line)
        return {"status": "success"}

    async def _redirect(self, sdk_peer: SdkPeer, again: bool) -> None:
        """Another offer of Pipecat's client, whose call is about to move (`handover/peers.py`)."""
        if not again:
            raise ApiError(503, "the bot's code was saved: offer again with a new peer connection")
        if await sdk_peer.has_moved():
            # Tells the worker that forwarded this offer to answer it itself.
            raise ApiError(MOVED_STATUS, "the call continues with the new code")

    # ------------------------------------------------------------ inside

    def _known(self, pc_id: Any, session_id: str | None) -> SmallWebRTCConnection | None:
        found = self._connections.get(pc_id) if isinstance(pc_id, str) else None
        return found or (self._of_session.get(session_id) if session_id else None)

    async def _begin(
        self, request: Request, asked: Mapping[str, Any], announced: str | None
    ) -> dict[str, Any]:
        self._host.sessions.check(announced or "")
        self._forget_old_starts()
        key = announced or asked.get("pc_id")
        moved = self._host.moves.claim(key) if isinstance(key, str) else None
        if announced is not None and moved is not None and "announced" in moved:
            self._starts[announced], moved = _Start(moved["announced"], time.monotonic()), None
        if announced is not None and announced not in self._starts and moved is None:
            raise ApiError(404, "this session is over or was never announced: POST /start for another one")
        client = request.client
        connection = SmallWebRTCConnection(
            self._host.settings.ice_servers, peer_is_local=client is not None and is_loopback(client.host)
        )
        await connection.initialize(asked.get("sdp", ""), asked.get("type", ""))
        try:
            session = self._start_session(
                connection, asked, announced, moved, request.headers.get("user-agent", "")
            )
        except TooManySessionsError as error:
            await connection.disconnect(str(error))
            raise
        # A page that did not use `/start` needs the id to reconnect.
        extra = {"session_id": session.id} if asked.get("moves") is True and announced is None else {}
        return {**self._answer(connection), **extra}

    def _answer(self, connection: SmallWebRTCConnection) -> dict[str, str]:
        answer = connection.get_answer()
        return {**answer, "sdp": with_address(answer["sdp"], self._host.settings.media_address or "")}

    def _start_session(
        self,
        connection: SmallWebRTCConnection,
        asked: Mapping[str, Any],
        announced: str | None,
        moved: dict[str, Any] | None,
        agent: str,
    ) -> Session:
        conversation = Conversation(moved)
        args = SmallWebRTCRunnerArguments(
            webrtc_connection=connection,
            body=moved["body"] if moved else self._body(asked, announced),
            session_id=moved["session"] if moved else announced or new_session_id(),
            pipeline_idle_timeout_secs=self._host.settings.idle_secs,
            session_state=conversation.state,
            resumed=conversation.resumed,
        )
        port = SessionPort(
            disconnect=connection.report_disconnected,
            report=lambda sentence: connection.send_app_message(
                messages.error(sentence, advice=advice_of(None, sentence))
            ),
        )
        session = self._host.sessions.start(
            "webrtc",
            args,
            on_end=self._ended,
            conversation=conversation,
            port=port,
            slot=announced or "",
        )
        session.sound = connection.figures
        connection.record(session.port.tape)
        self._starts.pop(session.id, None)
        self._connections[connection.pc_id] = self._of_session[session.id] = connection

        if asked.get("moves") is True:
            self._host.moves.register(session, session.id, WebRTCPeer(connection))
        elif is_sdk_offer(asked, agent):
            sdk_peer = self._sdk_peers[connection.pc_id] = SdkPeer(connection)
            self._host.moves.register(session, announced or connection.pc_id, sdk_peer)

        @connection.event_handler("closed")
        async def closed(connection: SmallWebRTCConnection) -> None:
            await self._closed(connection, session.id)

        return session

    def _body(self, asked: Mapping[str, Any], announced: str | None) -> Any:
        """The offer's data, else the body of `/start`, else `--body`."""
        start = self._starts.get(announced or "")
        given = (asked.get("request_data"), asked.get("requestData"), start and start.body)
        return next((body for body in given if body), None) or self._host.settings.body or {}

    async def _closed(self, connection: SmallWebRTCConnection, session_id: str) -> None:
        self._connections.pop(connection.pc_id, None)
        self._sdk_peers.pop(connection.pc_id, None)
        self._of_session.pop(session_id, None)
        self._host.moves.forget(session_id)
        reason = _END_REASONS.get(connection.close_reason or CloseReason.CLOSED)
        if reason is not None:
            grace_secs = LEAVE_GRACE_SECS if reason is not EndReason.NEVER_CONNECTED else 0.0
            lost = reason is EndReason.CONNECTION_LOST
            detail = str(connection.close_reason) if lost else ""
            await self._host.sessions.end(session_id, reason, grace_secs, detail=detail)

    async def _ended(self, session: Session) -> None:
        """The bot has ended: report that and any error to the page, and close the connection."""
        assert isinstance(session.args, SmallWebRTCRunnerArguments)
        connection, failure, error = session.args.webrtc_connection, session.error, None
        if self._host.moves.keep(session):
            await self._wait_for_mended_code(session, connection)
            await connection.events.aclose()
            return
        if failure is not None:
            error = {"message": failure.message, "file": failure.path.name, "line": failure.line}
            message = messages.error(
                str(failure),
                fatal=True,
                file=failure.path.name,
                line=failure.line,
                exception=failure.exception or None,
                source=failure.source or None,
                advice=failure.advice or None,
            )
            connection.send_app_message(message)
            await connection.flush_messages(TELL_FAILURE_SECS)
        elif session.remark:
            error = {"message": session.remark, "file": self._host.bot.path.name, "line": None}
            connection.send_app_message(messages.error(session.remark, fatal=True))
            await connection.flush_messages(TELL_FAILURE_SECS)
        await connection.disconnect(str(session.end_reason or ""), error)
        await connection.events.aclose()

    async def _wait_for_mended_code(self, session: Session, connection: SmallWebRTCConnection) -> None:
        """Keep the page connected until its call has moved or it leaves."""
        left = asyncio.Event()

        @connection.event_handler("closed")
        async def closed(connection: SmallWebRTCConnection) -> None:
            left.set()

        if connection.close_reason is None:
            await first_of(left.wait(), session.waits_over.wait())
        await connection.disconnect(str(EndReason.MOVED))

    def _give_starts(self) -> dict[str, Any]:
        self._forget_old_starts()
        given = {session: start.body for session, start in self._starts.items()}
        self._starts.clear()
        return given

    def _forget_old_starts(self) -> None:
        oldest = time.monotonic() - START_KEPT_SECS
        for session_id, start in list(self._starts.items()):
            if start.at < oldest or len(self._starts) >= MAX_STARTS:
                del self._starts[session_id]


def _ice_server(server: Any) -> dict[str, Any]:
    facts = {"urls": list(server.urls), "username": server.username, "credential": server.credential}
    return {name: value for name, value in facts.items() if value}


# ------------------------------------------------------------------ before the first caller


class _Nobody:
    """The owner of the warm-up's peer; ignores its events."""

    def peer_changed(self, peer: Peer) -> None:
        pass

    def peer_channel_opened(self, peer: Peer) -> None:
        pass

    def peer_message(self, peer: Peer, text: str) -> None:
        pass

    def peer_audio(self, peer: Peer, audio: InboundRtp) -> None:
        pass


async def warm_up() -> None:
    """Load aiortc and answer a local offer, without sending a packet.

    The first caller then waits 0.02 to 0.05 s for the answer instead of 0.7 s.
    """
    await asyncio.to_thread(import_module, "runner.transports.webrtc.peer")
    from aiortc import RTCConfiguration, RTCPeerConnection

    from runner.transports.webrtc.opus import open_decoder, open_encoder
    from runner.transports.webrtc.peer import Peer

    open_decoder(16000).decode(open_encoder(24000).encode(bytes(960)))
    page = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer = Peer(_Nobody(), (), peer_is_local=False)
    try:
        page.addTransceiver("audio", direction="sendrecv")
        page.createDataChannel("warm-up")
        await page.setLocalDescription(await page.createOffer())
        lines = page.localDescription.sdp.splitlines(True)
        await peer.answer(check_offer("".join(line for line in lines if "candidate" not in line), "offer"))
    except (BotrunError, OSError):
        logger.debug("the warm-up of an offer failed", exc_info=True)  # the first real offer reports it
    finally:
        await peer.aclose()
        await page.close()
