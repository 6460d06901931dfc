"""`SmallWebRTCConnection`: one caller's WebRTC link, from the first offer to the one end it has.

    new ──initialize──▶ connecting ──▶ connected ──▶ closed
                            ▲              │
                            └── renegotiate, when the peer was lost

Signaling comes in by `initialize`, `renegotiate` and `add_ice_candidate`; what happens goes out as events:
`connected` and then `disconnected` at most once, `closed` exactly once, `restarted` when a lost peer was
replaced under the same `pc_id`, `app-message` for each JSON message of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runner.errors import OfferError, ProtocolError
from runner.transports.events import Events, HandlerT
from runner.transports.webrtc.candidates import MAX_CANDIDATES, CandidatePolicy
from runner.transports.webrtc.liveness import Liveness
from runner.transports.webrtc.messages import (
    RENEGOTIATE,
    AppMessage,
    PeerLeft,
    Ping,
    PlayoutReport,
    encode,
    peer_left,
    read_message,
)
from runner.transports.webrtc.offer import CheckedOffer, check_offer, check_trickled
from runner.transports.webrtc.stats import SessionStats, StatsMeter, summary

if TYPE_CHECKING:
    from runner.transports.webrtc.inbound import InboundRtp, OnPcm
    from runner.transports.webrtc.peer import Peer
    from runner.transports.webrtc.tracks import OutboundAudioTrack
    from runner.values import IceServer

logger = logging.getLogger(__name__)

CONNECTION_TIMEOUT_SECS = 12.0
WATCH_SECS = 0.5
MAX_QUEUED_MESSAGES = 256
UNREPORTED_DELAY_SECS = 0.060

_numbers = itertools.count()


class CloseReason(StrEnum):
    """Why a connection is closed."""

    CLOSED = "we closed it"
    LEFT = "the client left"
    LOST = "nothing came from the client any more"
    NEVER_CONNECTED = "the client never connected"
    FAILED = "the connection failed"


class SmallWebRTCConnection:
    """One caller over WebRTC, whom a `SmallWebRTCTransport` speaks with.

    Args:
        ice_servers: STUN and TURN servers; none by default, and then nothing outside is asked.
        connection_timeout_secs: a caller who is not connected so long (s) after the offer is given up.
        peer_is_local: the offer came from this machine: its loopback is used as well.

    Attributes:
        pc_id: names this connection in signaling, also across a restart.
        close_reason: None while it is open.
        left_aside: ICE candidates that were legal but of no use.
        dropped_messages: messages that found no room, no channel or no sense.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer] = (),
        connection_timeout_secs: float = CONNECTION_TIMEOUT_SECS,
        *,
        peer_is_local: bool = False,
    ) -> None:
        self.pc_id = f"SmallWebRTCConnection#{next(_numbers)}-{secrets.token_hex(16)}"
        self.close_reason: CloseReason | None = None
        self.left_aside = 0
        self.dropped_messages = 0
        self.events = Events(self, "connected", "disconnected", "closed", "restarted", "app-message")
        self._ice_servers = tuple(ice_servers or ())
        self._timeout_secs = connection_timeout_secs
        self._policy = CandidatePolicy(peer_is_local=peer_is_local, public=bool(ice_servers))
        self._signaling = asyncio.Lock()
        self._offer: CheckedOffer | None = None
        self._answer = ""
        self._trickled = 0
        self._peer: Peer | None = None
        self._liveness = Liveness(connection_timeout_secs, _now())
        self._wanted = False
        self._announced = False
        self._outbox: deque[str] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._drained = asyncio.Event()
        self._drained.set()
        self._farewell = peer_left()
        self._inbox: deque[Any] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._audio_sink: tuple[int, OnPcm] | None = None
        self._audio_in: InboundRtp | None = None
        self._audio_out: OutboundAudioTrack | None = None
        self._report: PlayoutReport | None = None
        self._meter = StatsMeter()
        self._watcher: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ signaling

    async def initialize(self, sdp: str, type: str) -> None:
        """Takes the first offer; `get_answer()` then has the answer. Raises `OfferError`, and is then
        closed already."""
        offer = check_offer(sdp, type, self._policy)
        async with self._signaling:
            try:
                await self._meet(offer)
            except BaseException:
                await self.close(CloseReason.FAILED)
                raise
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.pc_id}")

    async def renegotiate(self, sdp: str, type: str, restart_pc: bool = False) -> None:
        """Takes a further offer: in place, or with a new peer if `restart_pc` says so or the old one is
        lost. The call goes on: the bot hears of `restarted`, not of `disconnected`. Raises `OfferError`.
        """
        offer = check_offer(sdp, type, self._policy)
        async with self._signaling:
            peer = self._peer
            if self.close_reason is not None or peer is None or self._offer is None:
                raise OfferError("this connection is closed: make an offer without pc_id")
            # A new ufrag asks for an ICE restart (RFC 8839 §4.4.1.1.1), which aiortc cannot do in place.
            if not restart_pc and offer.ufrag == self._offer.ufrag and peer.state not in ("failed", "closed"):
                self._answer = await peer.answer(offer)
                self._offer = offer
                return
            self._peer = None
            await peer.aclose()
            await self._meet(offer)
            self.events.emit("restarted")

    def get_answer(self) -> dict[str, str]:
        """What the offer is answered with."""
        return {"sdp": self._answer, "type": "answer", "pc_id": self.pc_id}

    async def add_ice_candidate(
        self, candidate: str | None, sdp_mid: str | None = None, sdp_mline_index: int | None = None
    ) -> None:
        """A candidate that came after the offer. None or "" is end-of-candidates (RFC 8838 §8.2), of which we
        make nothing: ICE has until our own deadline. Raises `OfferError`."""
        if not candidate:
            return
        if self._peer is None or self._offer is None or self.close_reason is not None:
            raise OfferError("this connection is closed")
        self._trickled += 1
        if self._trickled > MAX_CANDIDATES:
            raise OfferError(f"more than {MAX_CANDIDATES} ICE candidates came after the offer")
        usable = check_trickled(candidate, sdp_mid, sdp_mline_index, self._offer, self._policy)
        if usable is None:
            self.left_aside += 1
        else:
            await self._peer.add_candidate(usable)

    # ------------------------------------------------------------ for the transport and the server

    def event_handler(self, name: str) -> Callable[[HandlerT], HandlerT]:
        """Decorate `async def handler(connection, …)` to run it on an event."""
        return self.events.handler(name)

    async def connect(self) -> None:
        """The bot is ready: `connected` and the page's messages are delivered from now on."""
        self._wanted = True
        self._announce()

    async def disconnect(self, reason: str = "", error: Mapping[str, Any] | None = None) -> None:
        """Tells the page that we leave, and why, and closes. Returns when all is released.

        `error` (message, file, line) is what the bot failed with.
        """
        self._farewell = peer_left(reason, error)
        await self.close(CloseReason.CLOSED)

    async def flush_messages(self, timeout_secs: float) -> None:
        """Waits until the messages that were sent so far are out, the connection is closed or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_secs):
                await self._drained.wait()

    def is_connected(self) -> bool:
        """Whether the caller is there now."""
        peer = self._peer
        return peer is not None and peer.state == "connected" and not self._liveness.is_absent(_now())

    def send_app_message(self, message: Any) -> None:
        """Sends a JSON value; it waits, among a bounded number, until the data channel is open."""
        self._send(encode(message))

    def ask_to_renegotiate(self) -> None:
        """Asks the page for a further offer."""
        self._send(RENEGOTIATE)

    def receive_audio(self, sample_rate: int, on_pcm: OnPcm) -> None:
        """The caller's sound goes to `on_pcm`, as mono pcm at `sample_rate` (Hz), whoever is the peer."""
        self._audio_sink = (sample_rate, on_pcm)
        if self._audio_in is not None:
            self._audio_in.attach(sample_rate, on_pcm)

    def send_audio(self, track: OutboundAudioTrack) -> None:
        """The caller hears `track`, whoever is the peer."""
        self._audio_out = track
        if self._peer is not None:
            self._peer.send_audio(track)

    def listener_delay(self) -> float:
        """Seconds from a packet's sending to the listener's ear: half the round trip and the page's jitter
        buffer, as the page reports them; 60 ms as long as it does not."""
        if self._report is None:
            return UNREPORTED_DELAY_SECS
        return self._report.jitter_buffer_secs + (self._report.round_trip_secs or 0.0) / 2

    def read_stats(self) -> SessionStats | None:
        """How the sound has fared since the last call of this; None while there is no peer."""
        return self._meter.read(self._peer.counters()) if self._peer is not None else None

    async def close(self, reason: CloseReason) -> None:
        """Ends it; the first reason holds. Returns when all is released."""
        await asyncio.shield(self._close_soon(reason))

    # ------------------------------------------------------------ what the peer tells (`PeerOwner`)

    def peer_changed(self, peer: Peer) -> None:
        if peer is not self._peer:
            return
        if peer.state == "connected":
            self._liveness.on_connected(_now())
            self._announce()
        elif peer.state == "closed":
            self._close_soon(CloseReason.LEFT)
        elif peer.state == "failed" and not self._liveness.connected:
            self._close_soon(CloseReason.NEVER_CONNECTED)

    def peer_channel_opened(self, peer: Peer) -> None:
        while peer is self._peer and self._outbox and peer.send_text(self._outbox[0]):
            self._outbox.popleft()
        if not self._outbox:
            self._drained.set()

    def peer_audio(self, peer: Peer, audio: InboundRtp) -> None:
        self._audio_in = audio
        if self._audio_sink is not None:
            audio.attach(*self._audio_sink)

    def peer_message(self, peer: Peer, text: str) -> None:
        if peer is not self._peer:
            return
        try:
            message = read_message(text)
        except ProtocolError as error:
            self.dropped_messages += 1
            logger.debug("%s: %s", self.pc_id, error)
            return
        match message:
            case Ping():
                self._liveness.on_ping(_now())
            case PlayoutReport():
                self._report = message
            case PeerLeft():
                self._close_soon(CloseReason.LEFT)
            case AppMessage(value):
                self._inbox.append(value)
                self._announce()

    # ------------------------------------------------------------ inside

    async def _meet(self, offer: CheckedOffer) -> None:
        from runner.transports.webrtc.peer import Peer  # aiortc loads with the first offer

        self._liveness = Liveness(self._timeout_secs, _now())
        self._offer, self._trickled = offer, 0
        self.left_aside += offer.left_aside
        self._peer = Peer(self, self._ice_servers, self._policy.peer_is_local)
        self._answer = await self._peer.answer(offer)
        if self.close_reason is not None:  # closed meanwhile, when there was no peer to close
            await self._peer.aclose()
            raise OfferError("this connection was closed while the offer was answered")
        if self._audio_out is not None:
            self._peer.send_audio(self._audio_out)

    def _announce(self) -> None:
        """`connected`, once both ends are ready, then what the page has said meanwhile."""
        if not self._wanted or self.close_reason is not None:
            return
        if not self._announced and self._peer is not None and self._peer.state == "connected":
            self._announced = True
            self.events.emit("connected")
        while self._announced and self._inbox:
            self.events.emit("app-message", self._inbox.popleft())

    def _send(self, text: str) -> None:
        if self.close_reason is not None:
            self.dropped_messages += 1
        elif self._peer is not None and self._peer.channel_is_open:
            self.dropped_messages += not self._peer.send_text(text)
        else:
            self.dropped_messages += len(self._outbox) == MAX_QUEUED_MESSAGES
            self._outbox.append(text)
            self._drained.clear()

    async def _watch(self) -> None:
        while self.close_reason is None:
            await asyncio.sleep(min(WATCH_SECS, self._timeout_secs))
            peer, now = self._peer, _now()
            if peer is not None and peer.state == "connected":
                self._liveness.on_packets(peer.heard, now)
                if self._liveness.is_silent(now):
                    self._ask_consent(peer)
            if self._liveness.is_late(now):
                self._close_soon(CloseReason.LOST if self._announced else CloseReason.NEVER_CONNECTED)
            elif self._liveness.is_gone(now):
                self._close_soon(CloseReason.LOST)

    def _ask_consent(self, peer: Peer) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(peer.link.ask_consent(), name=f"consent {self.pc_id}")

    def _close_soon(self, reason: CloseReason) -> asyncio.Task[None]:
        if self._closing is None:
            self.close_reason = reason
            self._drained.set()
            self._closing = asyncio.create_task(self._close(), name=f"close {self.pc_id}")
        return self._closing

    async def _close(self) -> None:
        if self._announced:
            self.events.emit("disconnected")
        if self._audio_out is not None:
            self._audio_out.stop()
        if self._peer is not None:
            if self._announced:
                logger.info("%s: %s", self.pc_id, summary(self._peer.counters()))
            left = self.close_reason is CloseReason.LEFT
            await self._peer.aclose(None if left else self._farewell)
        for task in (self._watcher, self._asking):
            if task is not None:
                task.cancel()
        self.events.emit("closed")


def _now() -> float:
    return asyncio.get_running_loop().time()
