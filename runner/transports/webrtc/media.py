"""What the bot hears and sends, independent of the peer: kept while one peer replaces another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runner.transports.webrtc.camera import BotCamera, OnPicture
    from runner.transports.webrtc.inbound import InboundRtp, OnPcm
    from runner.transports.webrtc.signaling.messages import PlayoutReport
    from runner.transports.webrtc.tracks import OutboundAudioTrack

UNREPORTED_DELAY_SECS = 0.060


@dataclass(frozen=True, slots=True)
class PictureWishes:
    """What pictures the bot wants to go which way.

    Attributes:
        on_picture: takes the caller's; None: the caller's camera is not wanted.
        camera: what the bot shows; None: nothing.
    """

    on_picture: OnPicture | None = None
    camera: BotCamera | None = None


class MediaPeer(Protocol):
    """The peer that carries the media at the moment."""

    def want_pictures(self, wishes: PictureWishes) -> None: ...
    def send_audio(self, track: OutboundAudioTrack | None) -> None: ...


class MediaEnds:
    """The bot's ends of the media.

    Attributes:
        report: what the page said last of its playout.
    """

    def __init__(self) -> None:
        self.report: PlayoutReport | None = None
        self._sink: tuple[int, OnPcm] | None = None
        self._inbound: InboundRtp | None = None
        self._track: OutboundAudioTrack | None = None
        self._pictures: PictureWishes | None = None

    def prepare(self, peer: MediaPeer) -> None:
        """This one will be answered with."""
        if self._pictures is not None:
            peer.want_pictures(self._pictures)

    def exchange_pictures(self, wishes: PictureWishes, peer: MediaPeer | None) -> None:
        self._pictures = wishes
        if peer is not None:
            peer.want_pictures(wishes)

    def meet(self, peer: MediaPeer) -> None:
        """From now on this one is sent to."""
        if self._track is not None:
            peer.send_audio(self._track)

    def take_inbound(self, audio: InboundRtp) -> None:
        """From now on the caller is heard by this."""
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
