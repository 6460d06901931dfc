"""`SmallWebRTCConnection`: one caller's WebRTC connection, from the first offer to its end.

    new ──initialize──▶ connecting ──▶ connected ──▶ closed
                            ▲              │
                            └── renegotiate, when the peer was lost

Signaling uses `initialize`, `renegotiate` and `add_ice_candidate`. Events: `connected` and then
`disconnected` at most once, `closed` exactly once, `restarted` when a lost peer was replaced under the same
`pc_id`, `app-message` for each JSON message of the page, `held` when the page holds back input for the bot.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runner.errors import ProtocolError
from runner.eventloop import worker_prefix
from runner.transports.base import Events, HandlerT
from runner.transports.webrtc.peer import MediaEnds
from runner.transports.webrtc.peer_watch import Missed, PeerWatch
from runner.transports.webrtc.signaling import Signaling
from runner.transports.webrtc.signaling.candidates import CandidatePolicy
from runner.transports.webrtc.signaling.messages import (
    RENEGOTIATE,
    AppMessage,
    Held,
    Mailbox,
    PeerLeft,
    Ping,
    PlayoutReport,
    encode,
    peer_left,
    read_message,
    signal,
)
from runner.transports.webrtc.stats import SessionStats, SoundFigures

if TYPE_CHECKING:
    from runner.settings.parsing import IceServer
    from runner.transports.tape import Tape
    from runner.transports.webrtc.inbound import InboundRtp, OnPcm
    from runner.transports.webrtc.peer import Peer, PictureWishes
    from runner.transports.webrtc.tracks import OutboundAudioTrack

logger = logging.getLogger(__name__)

CONNECTION_TIMEOUT_SECS = 12.0

_numbers = itertools.count()


class CloseReason(StrEnum):
    """Why a connection is closed."""

    CLOSED = "we closed it"
    LEFT = "the client left"
    LOST = "nothing came from the client any more"
    UNREACHED = "nothing that we send reaches the client any more"
    NEVER_CONNECTED = "the client never connected"
    FAILED = "the connection failed"


class SmallWebRTCConnection:
    """One caller over WebRTC, for a `SmallWebRTCTransport`.

    Args:
        ice_servers: STUN and TURN servers; by default none, so no external server is contacted.
        connection_timeout_secs: time (s) after the offer within which the caller must connect.
        peer_is_local: whether the offer came from this machine; then loopback is used, too.

    Attributes:
        pc_id: the id of this connection in signaling; does not change on a restart.
        close_reason: None while it is open.
        moved: whether the call continues with the bot's new code; then there is no `disconnected`.
        figures: statistics of the sound.
        tape: gets packets and messages for the call's record; None if it is not recorded. Set by `record`.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer] = (),
        connection_timeout_secs: float = CONNECTION_TIMEOUT_SECS,
        *,
        peer_is_local: bool = False,
    ) -> None:
        self.pc_id = f"SmallWebRTCConnection#{worker_prefix()}{next(_numbers)}-{secrets.token_hex(16)}"
        self.close_reason: CloseReason | None = None
        self.moved = False
        self.tape: Tape | None = None
        self.figures = SoundFigures(lambda: self._peer.counters() if self._peer is not None else None)
        self.events = Events(self, "connected", "disconnected", "closed", "restarted", "app-message", "held")
        self._ice_servers = tuple(ice_servers or ())
        self._policy = CandidatePolicy(peer_is_local=peer_is_local, public=bool(ice_servers))
        self._signaling = Signaling(self._make_peer, self._policy, lambda: self.close_reason is None)
        self._watch = PeerWatch(connection_timeout_secs, self._missed)
        self._wanted = False
        self._announced = False
        self._reported_end = False
        self._mailbox = Mailbox()
        self._farewell = peer_left()
        self._media = MediaEnds()
        self._closing: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ signaling

    async def initialize(self, sdp: str, type: str) -> None:
        """Process the first offer; `get_answer()` then returns the answer. Closes the connection if it raises
        `OfferError`."""
        try:
            await self._signaling.begin(sdp, type)
        except BaseException:
            await self.close(CloseReason.FAILED)
            raise
        self._log_offer()
        self._meet_peer()

    async def renegotiate(self, sdp: str, type: str, restart_pc: bool = False) -> None:
        """Process a further offer: in place, or with a new peer if `restart_pc` is set or the old one is
        lost. The call continues: the event is `restarted`, not `disconnected`. Raises `OfferError`.
        """
        replaced = await self._signaling.go_on(sdp, type, restart_pc)
        self._log_offer()
        if replaced:
            self._meet_peer()
            self.events.emit("restarted")

    def get_answer(self) -> dict[str, str]:
        """The answer to the last offer."""
        return {"sdp": self._signaling.answer, "type": "answer", "pc_id": self.pc_id}

    async def add_ice_candidate(
        self, candidate: str | None, sdp_mid: str | None = None, sdp_mline_index: int | None = None
    ) -> None:
        """Add a candidate that came after the offer. None or "" is end-of-candidates (RFC 8838 §8.2), which
        is ignored: ICE has until the connection's own timeout. Raises `OfferError`."""
        if candidate:
            await self._signaling.add_candidate(candidate, sdp_mid, sdp_mline_index)

    # ------------------------------------------------------------ for the transport and the server

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(connection, …)` to run it on an event."""
        return self.events.handler(name)

    async def connect(self) -> None:
        """The bot is ready: `connected` and the page's messages are delivered from now on."""
        self._wanted = True
        self._announce()

    async def disconnect(self, reason: str = "", error: Mapping[str, Any] | None = None) -> None:
        """Tell the page the reason, and close. Returns when everything is released.

        `error` (message, file, line): the bot's error, if it failed.
        """
        self._farewell = peer_left(reason, error)
        await self.close(CloseReason.CLOSED)

    async def flush_messages(self, timeout_secs: float) -> None:
        """Wait until the messages so far are sent, the connection is closed, or the timeout."""
        await self._mailbox.flush(timeout_secs)

    @property
    def left_aside(self) -> int:
        """ICE candidates that are not used."""
        return self._signaling.left_aside.total()

    @property
    def dropped_messages(self) -> int:
        """Number of messages dropped: queue full, no channel, or malformed."""
        return self._mailbox.dropped

    def is_connected(self) -> bool:
        """Whether the caller is connected now."""
        peer = self._peer
        return peer is not None and peer.state == "connected" and not self._watch.is_absent

    def send_app_message(self, message: Any) -> None:
        """Send a JSON value; it is queued (bounded) until the data channel is open."""
        self._mailbox.send(encode(message), self._peer)

    def signal(self, kind: str, **facts: Any) -> None:
        """Send a message for the page itself."""
        self._mailbox.send(signal(kind, **facts), self._peer)

    def ask_to_renegotiate(self) -> None:
        """Ask the page for a new offer."""
        self._mailbox.send(RENEGOTIATE, self._peer)

    def receive_audio(self, sample_rate: int, on_pcm: OnPcm) -> None:
        """Pass the caller's sound to `on_pcm` as mono pcm at `sample_rate` (Hz), from any peer."""
        self._media.receive_audio(sample_rate, on_pcm)

    def send_audio(self, track: OutboundAudioTrack) -> None:
        """Send `track` to the caller, through any peer."""
        self._media.send_audio(track, self._peer)

    def exchange_pictures(self, wishes: PictureWishes) -> None:
        """Set the directions of pictures from now on, with any peer. Asks the page for a matching offer."""
        self._media.exchange_pictures(wishes, self._peer)
        if self._peer is not None:
            self.ask_to_renegotiate()

    def listener_delay(self) -> float:
        """Time (s) from sending a packet to hearing it: half the round trip plus the page's jitter buffer, as
        reported by the page; 60 ms before the first report."""
        return self._media.listener_delay()

    def read_stats(self) -> SessionStats | None:
        """Statistics of the sound since the last call of this method; None without a peer."""
        return self.figures.read()

    def report_disconnected(self) -> bool:
        """Emit `disconnected`, once, if `connected` was emitted and the call does not move to new code.

        Returns whether it has been emitted.
        """
        if self._announced and not self.moved and not self._reported_end:
            self._reported_end = True
            self.events.emit("disconnected")
        return self._reported_end

    async def close(self, reason: CloseReason) -> None:
        """Close the connection; the first reason counts. Returns when everything is released."""
        await asyncio.shield(self._close_soon(reason))

    def record(self, tape: Tape | None) -> None:
        """Write packets and messages of any peer to this tape from now on."""
        self.tape = tape
        if self._peer is not None:
            self._tape(self._peer)

    def _tape(self, peer: Peer) -> None:
        peer.tape = peer.inbound.tape = peer.outbound.tape = self.tape

    # ------------------------------------------------------------ events of the peer (`PeerOwner`)

    def peer_changed(self, peer: Peer) -> None:
        if peer is not self._peer:
            return
        if peer.state == "connected":
            self._watch.connected()
            self._announce()
        elif peer.state == "closed":
            self._close_soon(CloseReason.LEFT)
        elif peer.state == "failed" and not self._watch.has_connected:
            self._close_soon(CloseReason.NEVER_CONNECTED)

    def peer_channel_opened(self, peer: Peer) -> None:
        if peer is self._peer:
            self._mailbox.channel_opened(peer)

    def peer_audio(self, peer: Peer, audio: InboundRtp) -> None:
        self._media.take_inbound(audio)

    def peer_message(self, peer: Peer, text: str) -> None:
        if peer is not self._peer:
            return
        if self.tape is not None:
            self.tape.app(text, inbound=True)
        try:
            message = read_message(text)
        except ProtocolError as error:
            self._mailbox.dropped += 1
            logger.debug("%s: %s", self.pc_id, error)
            return
        match message:
            case Ping():
                self._watch.pinged()
            case PlayoutReport():
                self._media.report = message
            case PeerLeft():
                self._close_soon(CloseReason.LEFT)
            case Held(waiting):
                self.events.emit("held", waiting)
            case AppMessage(value):
                self._mailbox.receive(value)
                self._announce()

    # ------------------------------------------------------------ inside

    @property
    def _peer(self) -> Peer | None:
        return self._signaling.peer

    def _make_peer(self) -> Peer:
        from runner.transports.webrtc.peer import Peer  # aiortc loads with the first offer

        peer = Peer(self, self._ice_servers, self._policy.peer_is_local)
        self._tape(peer)
        self._media.prepare(peer)
        self._watch.begin(peer)
        return peer

    def _log_offer(self) -> None:
        """Log rejected parts of the offer, except those that every browser sends."""
        for section in self._signaling.rejected:
            logger.info("%s answers with port 0: %s", self.pc_id, section)
        aside = self._signaling.left_aside
        if any(not reason.is_usual for reason in aside):
            reasons = ", ".join(f"{count} {reason}" for reason, count in aside.items())
            logger.info("%s does not use %d ICE candidates: %s", self.pc_id, aside.total(), reasons)

    def _meet_peer(self) -> None:
        if self._peer is not None:
            self._media.meet(self._peer)

    def _announce(self) -> None:
        """Emit `connected` once both sides are ready, then deliver the page's queued messages."""
        if not self._wanted or self.close_reason is not None:
            return
        if not self._announced and self._peer is not None and self._peer.state == "connected":
            self._announced = True
            self.events.emit("connected")
        if self._announced:
            self._mailbox.hand_over(lambda message: self.events.emit("app-message", message))

    def _missed(self, what: Missed) -> None:
        if what is Missed.NOT_IN_TIME and not self._announced:
            self._close_soon(CloseReason.NEVER_CONNECTED)
        else:
            self._close_soon(CloseReason.UNREACHED if what is Missed.UNREACHED else CloseReason.LOST)

    def _close_soon(self, reason: CloseReason) -> asyncio.Task[None]:
        if self._closing is None:
            self.close_reason = reason
            self._mailbox.close()
            self._closing = asyncio.create_task(self._close(), name=f"close {self.pc_id}")
        return self._closing

    async def _close(self) -> None:
        self.report_disconnected()
        self._media.stop()
        if self._peer is not None:
            silently = self.moved or self.close_reason is CloseReason.LEFT
            await self._peer.aclose(None if silently else self._farewell)
            if dropped := self._peer.link.guard.summary():
                logger.info("%s dropped %s", self.pc_id, dropped)
        self._watch.end()
        self.events.emit("closed")
