"""WebRTC between a browser and the bot.

    candidates.py, offer.py   what the far end may ask for: checked before aiortc sees it, pure
    messages.py               the data channel's conventions, pure
    signaling.py              offers and candidates, one peer after another
    mailbox.py                messages that wait for the channel or for the bot
    peer_watch.py, liveness.py  whether the caller is still there; the latter pure
    media.py                  the bot's ends of the media, whoever is the peer
    inbound.py                RTP -> pcm: order, decoding, concealment
    outbound.py, ticker.py    pcm -> RTP: one packet every 20 ms, one clock for all calls
    opus.py                   which codec: libopus.py, or pyav_opus.py where that is missing
    stats.py                  how the sound fares, as a frame
    camera.py, vp8.py         pictures both ways, in threads
    tracks.py                 what the bot writes to, and aiortc's own tracks
    peer.py                   one aiortc peer connection
    connection.py             one caller, over one peer or several after another
    rehearsal.py              an offer of our own before the first caller's
    transport.py              what a bot builds
    aiortc_private.py         the only file that uses what aiortc does not document, but for
    aiortc_pictures.py        what it takes for pictures

aiortc itself is loaded with the first offer, not with this package; and all but `stats.py`, which every RTVI
processor knows, when it is asked for: phones need none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from runner.transports.webrtc.stats import SessionStats

if TYPE_CHECKING:
    from runner.transports.webrtc.connection import CloseReason, SmallWebRTCConnection
    from runner.transports.webrtc.transport import SmallWebRTCTransport

__all__ = ["CloseReason", "SessionStats", "SmallWebRTCConnection", "SmallWebRTCTransport"]

_LATER = {
    "CloseReason": "runner.transports.webrtc.connection",
    "SmallWebRTCConnection": "runner.transports.webrtc.connection",
    "SmallWebRTCTransport": "runner.transports.webrtc.transport",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
