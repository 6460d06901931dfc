"""WebRTC between a browser and the bot.

    signaling/          validates offers, candidates and data channel messages before aiortc sees them
    datagram_guard.py   decides which datagrams are read
    peer_watch.py       detects lost callers
    media.py            the bot's media, kept while one peer replaces another
    inbound.py          RTP -> pcm: order, decoding, concealment, the caller's clock
    outbound.py         pcm -> RTP: one packet every 20 ms, one clock for all calls
    opus.py             libopus
    camera.py           pictures both ways, in threads
    tracks.py           the track that the bot writes to, and reading aiortc's tracks
    stats.py            statistics of the sound's quality
    peer.py             one aiortc peer connection
    connection.py       one caller, over one peer or several in turn
    warmup.py           an offer to itself before the first caller's
    transport.py        the transport for bots
    aiortc_private.py   the only file that uses private names of aiortc and aioice

aiortc is loaded with the first offer, not with this package. Everything except `stats.py`, which every RTVI
processor imports, is loaded on first use, because phone calls do not need it.
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
