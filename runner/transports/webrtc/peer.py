"""`Peer`: one aiortc peer connection, from its first offer to its end. A lost one is replaced.

The bot's media is independent of the peer, and is kept while one peer replaces another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)

from runner.errors import OfferError
from runner.settings.parsing import IceServer
from runner.transports.tape import Tape
from runner.transports.webrtc.aiortc_private import (
    MediaLink,
    bound_decoder,
    bound_gathering,
    gathering_loopback,
    show,
)
from runner.transports.webrtc.camera import CallerCamera, CameraTrack
from runner.transports.webrtc.inbound import InboundRtp
from runner.transports.webrtc.outbound import OutboundRtp
from runner.transports.webrtc.signaling.candidates import Candidate
from runner.transports.webrtc.signaling.offer import CheckedOffer, complete_answer
from runner.transports.webrtc.stats import MediaCounters
from runner.transports.webrtc.tracks import OutboundAudioTrack

if TYPE_CHECKING:
    from runner.transports.webrtc.camera import BotCamera, OnPicture
    from runner.transports.webrtc.inbound import InboundRtp, OnPcm
    from runner.transports.webrtc.signaling.messages import PlayoutReport

logger = logging.getLogger(__name__)

FLUSH_STEPS, FLUSH_STEP_SECS = 20, 0.01
CLOSE_SECS = 3.0
ICE_CHECK_SECS = 0.020
"""aioice's interval (s) of checks, in which it also notices that it was closed."""
MAX_BUFFERED_BYTES = 1 << 20


class PeerOwner(Protocol):
    """Receives the events of a peer, on the event loop; methods must not block."""

    def peer_changed(self, peer: Peer) -> None: ...
    def peer_channel_opened(self, peer: Peer) -> None: ...
    def peer_message(self, peer: Peer, text: str) -> None: ...
    def peer_audio(self, peer: Peer, audio: InboundRtp) -> None: ...


class Peer:
    """A peer connection: answers offers, carries sound and text, and is closed once."""

    def __init__(self, owner: PeerOwner, ice_servers: Sequence[IceServer], peer_is_local: bool) -> None:
        self._owner = owner
        self._peer_is_local = peer_is_local
        self.tape: Tape | None = None
        self._channel: RTCDataChannel | None = None
        self._has_announced = False
        servers = [RTCIceServer(list(s.urls), s.username, s.credential) for s in ice_servers]
        # An empty list, not None: by default aiortc would contact a public STUN server.
        self._pc = RTCPeerConnection(
            RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._audio = self._pc.addTransceiver("audio", direction="sendrecv")
        opus = [c for c in RTCRtpSender.getCapabilities("audio").codecs if c.mimeType == "audio/opus"]
        self._audio.setCodecPreferences(opus)
        self._ice = self._audio.receiver.transport.transport
        bound_gathering(self._ice)
        self.link = MediaLink(self._audio)
        self.inbound = InboundRtp(asyncio.get_running_loop())
        self.outbound = OutboundRtp(self.link)
        self.link.on_rtp = self.inbound.receive
        self.link.reception = lambda: self.inbound.reception
        self.link.on_loss = self.outbound.expect_loss
        self._video: RTCRtpTransceiver | None = None
        self._pictures: PictureWishes | None = None
        self._watching: CallerCamera | None = None
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)

    @property
    def state(self) -> str:
        """aiortc's: new, connecting, connected, failed or closed."""
        return self._pc.connectionState

    @property
    def channel_is_open(self) -> bool:
        return self._channel is not None and self._channel.readyState == "open"

    async def answer(self, offer: CheckedOffer) -> str:
        """The answer's SDP with all local candidates. Raises `OfferError`."""
        try:
            self._prepare_video(offer)
            await self._pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            for extra in self._pc.getTransceivers()[1:]:
                # aiortc would queue packets that are not read.
                extra.direction = self._video_direction() if extra is self._video else "inactive"
            for candidate in offer.candidates:
                await self.add_candidate(candidate)
            with gathering_loopback(self._peer_is_local):
                await self._pc.setLocalDescription(await self._pc.createAnswer())
        except Exception as error:  # aiortc raises AssertionErrors without text
            logger.debug("aiortc refused an offer", exc_info=True)
            raise OfferError(f"the offer cannot be used: {error or type(error).__name__}") from error
        self.outbound.dtx, self.outbound.on_hold = offer.wants_dtx, not offer.wants_audio
        self._begin_pictures()
        if not self._has_announced:
            self._has_announced = True
            self._owner.peer_audio(self, self.inbound)
        return complete_answer(self._pc.localDescription.sdp, offer)

    async def add_candidate(self, candidate: Candidate) -> None:
        """A further address of the remote side. (At the transport, for `addIceCandidate` would keep those of
        the media section alone, and end-of-candidates would make ICE give up early.)"""
        await self._ice.addRemoteCandidate(
            RTCIceCandidate(
                component=1,
                foundation=candidate.foundation,
                ip=candidate.host,
                port=candidate.port,
                priority=candidate.priority,
                protocol="udp",
                type=candidate.type,
            )
        )

    def send_audio(self, track: OutboundAudioTrack | None) -> None:
        """Send this track; None leaves the track to another peer."""
        self.outbound.play(track)

    # ------------------------------------------------------------ pictures

    def want_pictures(self, wishes: PictureWishes) -> None:
        """Set which pictures the next answer requests, if the remote side offers them."""
        self._pictures = wishes

    def _prepare_video(self, offer: CheckedOffer) -> None:
        if self._pictures is None or not offer.has_vp8:
            return
        if self._video is None:
            known = (t for t in self._pc.getTransceivers() if t.kind == "video")
            self._video = next(known, None) or self._pc.addTransceiver("video", direction="inactive")
            codecs = RTCRtpSender.getCapabilities("video").codecs
            self._video.setCodecPreferences([c for c in codecs if c.mimeType in ("video/VP8", "video/rtx")])
            bound_decoder(self._video)

    def _video_direction(self) -> str:
        wishes = self._pictures
        if wishes is None:
            return "inactive"
        if wishes.on_picture is None:
            return "sendonly"
        return "recvonly" if wishes.camera is None else "sendrecv"

    def _begin_pictures(self) -> None:
        video, wishes = self._video, self._pictures
        if video is None or wishes is None:
            return
        if wishes.camera is not None and video.sender.track is None:
            show(video, CameraTrack(wishes.camera))
        if wishes.on_picture is not None and video.receiver.track is not None and self._watching is None:
            self._watching = CallerCamera(video.receiver.track, wishes.on_picture)

    def send_text(self, text: str) -> bool:
        """Send a message; False if it was dropped: no open channel, or a remote side that does not read."""
        channel = self._channel
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > MAX_BUFFERED_BYTES:
            return False
        channel.send(text)
        if self.tape is not None:
            self.tape.app(text, inbound=False)
        return True

    @property
    def heard(self) -> int:
        """Number of packets, ICE checks and ICE responses received from the remote side."""
        return self.link.heard

    def counters(self) -> MediaCounters:
        """The counters for the sound's statistics."""
        return replace(
            self.inbound.counters(),
            round_trip_secs=self.link.round_trip_secs,
            outbound_loss=self.outbound.reported_loss,
        )

    async def aclose(self, farewell: str | None = None) -> None:
        """Close it, after a last message if the channel is open."""
        if farewell is not None and self.send_text(farewell):
            await self._flush()
        self.send_audio(None)
        await self.inbound.aclose()
        if self._watching is not None:
            await self._watching.aclose()
        if self._video is not None and self._video.sender.track is not None:
            self._video.sender.track.stop()
        is_connecting = self.state == "connecting"
        try:
            async with asyncio.timeout(CLOSE_SECS):
                await self._pc.close()
            if is_connecting:
                await asyncio.sleep(2 * ICE_CHECK_SECS)
        except TimeoutError:
            logger.warning("a WebRTC peer did not close within %.0f s", CLOSE_SECS)
        except Exception:  # the call is over, whatever aiortc raises
            logger.exception("a WebRTC peer failed while closing")

    async def _flush(self) -> None:
        """Give SCTP a moment to send buffered data; aiortc has no event for it."""
        for _ in range(FLUSH_STEPS):
            await asyncio.sleep(FLUSH_STEP_SECS)
            if self._channel is None or not self._channel.bufferedAmount:
                return

    def _on_state(self) -> None:
        self._owner.peer_changed(self)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)
        channel.on("close", self._on_channel_closed)
        self._owner.peer_channel_opened(self)

    def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._owner.peer_message(self, message)

    def _on_channel_closed(self) -> None:
        self._channel = None


UNREPORTED_DELAY_SECS = 0.060


@dataclass(frozen=True, slots=True)
class PictureWishes:
    """The pictures that the bot wants to receive and send.

    Attributes:
        on_picture: called with the caller's pictures; None: not wanted.
        camera: the bot's pictures; None: nothing is sent.
    """

    on_picture: OnPicture | None = None
    camera: BotCamera | None = None


class MediaPeer(Protocol):
    """The peer that currently carries the media."""

    def want_pictures(self, wishes: PictureWishes) -> None: ...
    def send_audio(self, track: OutboundAudioTrack | None) -> None: ...


class MediaEnds:
    """The bot's media.

    Attributes:
        report: the page's last playout report.
    """

    def __init__(self) -> None:
        self.report: PlayoutReport | None = None
        self._sink: tuple[int, OnPcm] | None = None
        self._inbound: InboundRtp | None = None
        self._track: OutboundAudioTrack | None = None
        self._pictures: PictureWishes | None = None

    def prepare(self, peer: MediaPeer) -> None:
        """Prepare a peer before it answers an offer."""
        if self._pictures is not None:
            peer.want_pictures(self._pictures)

    def exchange_pictures(self, wishes: PictureWishes, peer: MediaPeer | None) -> None:
        self._pictures = wishes
        if peer is not None:
            peer.want_pictures(wishes)

    def meet(self, peer: MediaPeer) -> None:
        """Send to this peer from now on."""
        if self._track is not None:
            peer.send_audio(self._track)

    def take_inbound(self, audio: InboundRtp) -> None:
        """Receive the caller's sound from this from now on."""
        self._inbound = audio
        if self._sink is not None:
            audio.attach(*self._sink)

    def receive_audio(self, sample_rate: int, on_pcm: OnPcm) -> None:
        self._sink = (sample_rate, on_pcm)
        if self._inbound is not None:
            self._inbound.attach(sample_rate, on_pcm)

    def send_audio(self, track: OutboundAudioTrack, peer: MediaPeer | None) -> None:
        self._track = track
        if peer is not None:
            peer.send_audio(track)

    def listener_delay(self) -> float:
        if self.report is None:
            return UNREPORTED_DELAY_SECS
        return self.report.jitter_buffer_secs + (self.report.round_trip_secs or 0.0) / 2

    def stop(self) -> None:
        if self._track is not None:
            self._track.stop()
