"""What we touch of aiortc's private names for pictures; `aiortc_private.py` has those for sound."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiortc import RTCRtpTransceiver

    from runner.transports.webrtc.camera import CameraTrack

MAX_UNDECODED = 15
"""Pictures (half a second) that may wait for the decoder's thread."""

OF_RECEIVER = ("_RTCRtpReceiver__decoder_queue", "_RTCRtpReceiver__decoder_error")
OF_SENDER = ("_send_keyframe", "_RTCRtpSender__encoder")


class _BoundedQueue(queue.Queue[Any]):
    """aiortc's own has no bound: a decoder that is too slow would fall behind for ever.

    What is left out leaves a hole in the stream, so a whole picture is asked for (RFC 4585 §6.3.1).
    """

    def __init__(self, hole: threading.Event) -> None:
        super().__init__()
        self._hole = hole

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is not None and self.qsize() >= MAX_UNDECODED:
            self._hole.set()
        else:
            super().put(item, block, timeout)


def bound_decoder(transceiver: RTCRtpTransceiver) -> None:
    """Bounds what waits for the decoder. Called before the receiver has started."""
    receiver: Any = transceiver.receiver
    if receiver._RTCRtpReceiver__decoder_thread is None:
        receiver._RTCRtpReceiver__decoder_queue = _BoundedQueue(receiver._RTCRtpReceiver__decoder_error)


def show(transceiver: RTCRtpTransceiver, track: CameraTrack) -> None:
    """Sends the track, which hears of lost pictures, and of what the far end can take."""
    sender: Any = transceiver.sender
    sender.replaceTrack(track)
    sender._send_keyframe = track.refresh

    def limit() -> int | None:
        encoder = sender._RTCRtpSender__encoder  # packs what we have encoded; aiortc tells it the limit
        bitrate: int | None = getattr(encoder, "target_bitrate", None)
        return bitrate if bitrate != _DEFAULT_BITRATE else None

    track.bitrate_limit = limit


_DEFAULT_BITRATE = 500_000
"""aiortc.codecs.vpx.DEFAULT_BITRATE: what stands there until the far end has spoken."""
