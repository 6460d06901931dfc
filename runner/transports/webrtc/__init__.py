"""WebRTC between a browser and the bot.

    signaling/          offers, candidates and the data channel's messages: checked before aiortc sees them
    datagram_guard.py   which datagrams are read at all
    peer_watch.py       whether the caller is still there
    media.py            the bot's ends of the media, kept while one peer replaces another
    inbound.py          RTP -> pcm: order, decoding, concealment, the caller's clock
    outbound.py         pcm -> RTP: one packet every 20 ms, one clock for all calls
    opus.py             libopus
    camera.py           pictures both ways, in threads
    tracks.py           what the bot writes to, and aiortc's own tracks
    stats.py            quality of the sound, as a frame
    peer.py             one aiortc peer connection
    connection.py       one caller, over one peer or several after another
    warmup.py           an offer of our own before the first caller's
    transport.py        what a bot builds
    aiortc_private.py   the only file that uses what aiortc and aioice do not document

aiortc itself is loaded with the first offer, not with this package; and all but `stats.py`, which every RTVI
processor imports, when it is first used: phones need none of it.
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
