"""The only file, with `aiortc_pictures.py`, that reaches into aiortc and aioice beyond what they document.

`missing_names()` says what a new version of theirs took away; a test calls it, so that an update fails there
with a sentence instead of in a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import aioice.ice
import aioice.stun
import pylibsrtp

from runner.audio.rtp import RtpPacket, parse_rtp
from runner.transports.webrtc import aiortc_pictures

if TYPE_CHECKING:
    from aiortc import RTCIceTransport, RTCRtpTransceiver
    from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters

LOOPBACK = "127.0.0.1"

# With a STUN or TURN server that does not answer, aioice holds the answer back for 5 s.
GATHERING_SECS = 1.5

NTP_EPOCH_SECS = 2_208_988_800  # from 1900 to 1970

_with_loopback: ContextVar[bool] = ContextVar("botrun_gather_loopback", default=False)
_marker = "_botrun_with_loopback"


def host_addresses_with_loopback() -> None:
    """Lets aioice gather 127.0.0.1, which it never does by itself.

    It is gathered inside `gathering_loopback(True)`, and where the machine has no other address. Whoever
    replaced `get_host_addresses` before us (the benchmarks do) keeps the last word on the other addresses.
    """
    original = aioice.ice.get_host_addresses
    if hasattr(original, _marker):
        return

    @functools.wraps(original)
    def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        addresses = list(original(use_ipv4, use_ipv6))
        if use_ipv4 and LOOPBACK not in addresses and (_with_loopback.get() or not addresses):
            addresses.append(LOOPBACK)
        return addresses

    setattr(host_addresses, _marker, True)
    aioice.ice.get_host_addresses = host_addresses


@contextlib.contextmanager
def gathering_loopback(wanted: bool) -> Iterator[None]:
    """Whether candidates gathered inside include loopback: true for a peer on this machine."""
    host_addresses_with_loopback()
    token = _with_loopback.set(wanted)
    try:
        yield
    finally:
        _with_loopback.reset(token)


def bound_gathering(transport: RTCIceTransport) -> None:
    """Waits for STUN and TURN servers only `GATHERING_SECS`."""
    connection: Any = transport.iceGatherer._connection
    connection.get_component_candidates = functools.partial(
        connection.get_component_candidates, timeout=GATHERING_SECS
    )


class MediaLink:
    """RTP of one transceiver past aiortc's own media path: SRTP, ICE and RTCP stay aiortc's.

    aiortc's receiver would start a thread and hold four packets (80 ms); its sender would pull a track, hop
    to another thread and compute levels in Python. Neither is started. What is put over aiortc's methods is
    put over those of this one peer's objects, never over its classes.

    Attributes:
        payload_type: of Opus, once the far end takes sound; None before and after.
        ssrc: our source.
        heard: packets and ICE checks that came in so far, of whatever kind.
        on_rtp: takes each packet of Opus; True from it: another source than before.
        on_loss: takes the share (0 to 1) of our packets that the far end has reported as lost.
    """

    def __init__(self, transceiver: RTCRtpTransceiver) -> None:
        objects: Any = transceiver
        self.payload_type: int | None = None
        self.heard = 0
        self.on_rtp: Callable[[RtpPacket], bool] = lambda packet: False
        self.on_loss: Callable[[float], None] = lambda share: None
        self.reception: Callable[[], object] | None = None
        self._receiver: Any = objects.receiver
        self._sender: Any = objects.sender
        self._dtls: Any = self._receiver.transport
        self._ice: Any = self._dtls.transport._connection
        self.ssrc: int = self._sender._ssrc
        self._opus: set[int] = set()
        self._receiver.receive = self._start_receiving
        self._sender._run_rtp = self._stay_silent
        self._report, self._sender._handle_rtcp_packet = self._sender._handle_rtcp_packet, self._on_rtcp
        self._deliver, self._ice.data_received = self._ice.data_received, self._on_datagram
        self._check, self._ice.request_received = self._ice.request_received, self._on_check

    # ------------------------------------------------------------ in

    async def _start_receiving(self, parameters: RTCRtpReceiveParameters) -> None:
        """`RTCRtpReceiver.receive` without its decoder thread."""
        receiver = self._receiver
        if getattr(receiver, "_RTCRtpReceiver__started"):  # noqa: B009 - mypy knows no mangled names
            return
        opus = [codec.payloadType for codec in parameters.codecs if codec.mimeType.lower() == "audio/opus"]
        self._opus = {payload_type for payload_type in opus if payload_type is not None}
        self._dtls._register_rtp_receiver(receiver, parameters)
        receiver._RTCRtpReceiver__rtcp_task = asyncio.ensure_future(receiver._run_rtcp())
        receiver._RTCRtpReceiver__started = True

    def _on_datagram(self, data: bytes, component: int) -> None:
        """Called by aioice for all that is not STUN. RFC 7983 §7: 128 to 191 is RTP or RTCP."""
        srtp = self._dtls._rx_srtp
        if not 127 < data[0] < 192 or srtp is None or data[1] & 0x7F not in self._opus:  # RTCP is not, either
            self.heard += 1
            self._deliver(data, component)
            return
        try:
            packet = parse_rtp(srtp.unprotect(data))
        except pylibsrtp.Error:
            return  # forged, or a copy of what was there
        self.heard += 1
        if packet is not None and packet.payload_type in self._opus and self.on_rtp(packet):
            self._note_source(packet.ssrc)

    def _note_source(self, ssrc: int) -> None:
        """Lets aiortc report on what we receive, and hand us the sender's reports (for the round trip)."""
        if self.reception is not None:
            self._receiver._RTCRtpReceiver__remote_streams = {ssrc: self.reception()}
        self._dtls._rtp_router.ssrc_table[ssrc] = self._receiver

    def _on_check(self, message: Any, address: Any, protocol: Any) -> None:
        """A living peer asks for our consent every few seconds (RFC 7675), media or not."""
        self.heard += 1
        self._check(message, address, protocol)

    # ------------------------------------------------------------ out

    async def _stay_silent(self, codec: RTCRtpCodecParameters) -> None:
        """In the place of the task that pulls a track: tells only from when on we may send."""
        self.payload_type = codec.payloadType
        self._sender._RTCRtpSender__rtp_started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.payload_type = None
            self._sender._RTCRtpSender__rtp_exited.set()

    def send_rtp(self, data: bytes, timestamp: int, payload_bytes: int) -> None:
        """Sends one packet, if there is a way."""
        pair, srtp, sender = self._ice._nominated.get(1), self._dtls._tx_srtp, self._sender
        if pair is None or srtp is None:
            return
        pair.protocol.transport.sendto(srtp.protect(data), pair.remote_addr)
        # What the next sender report says (RFC 3550 §6.4.1).
        sender._RTCRtpSender__packet_count += 1
        sender._RTCRtpSender__octet_count += payload_bytes
        sender._RTCRtpSender__rtp_timestamp = timestamp
        sender._RTCRtpSender__ntp_timestamp = int((time.time() + NTP_EPOCH_SECS) * 2**32)

    async def _on_rtcp(self, packet: Any) -> None:
        for report in getattr(packet, "reports", ()):
            if report.ssrc == self.ssrc:
                self.on_loss(report.fraction_lost / 256)
        await self._report(packet)

    @property
    def round_trip_secs(self) -> float | None:
        """As the far end's reports tell; None until the first."""
        found: float | None = self._sender._RTCRtpSender__rtt
        return found

    # ------------------------------------------------------------ still there?

    async def ask_consent(self) -> None:
        """One ICE check of our own; an answer counts as heard. aioice itself checks every 5 s only."""
        pair, password = self._ice._nominated.get(1), self._ice.remote_password
        if pair is None or password is None:
            return
        request = self._ice.build_request(pair, nominate=False)
        key = password.encode()
        with contextlib.suppress(aioice.stun.TransactionError):
            await pair.protocol.request(request, pair.remote_addr, integrity_key=key, retransmissions=1)
            self.heard += 1


def missing_names() -> list[str]:
    """What we use and these versions of aiortc and aioice do not have. Called on a loop."""
    from aiortc import RTCConfiguration, RTCPeerConnection

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver("audio")
    receiver, sender = transceiver.receiver, transceiver.sender
    dtls: Any = receiver.transport
    ice: Any = getattr(dtls.transport, "_connection", None)
    wanted: dict[str, tuple[object, tuple[str, ...]]] = {
        "aioice.ice": (aioice.ice, ("get_host_addresses",)),
        "aioice.stun": (aioice.stun, ("TransactionError",)),
        "aiortc.RTCIceGatherer": (dtls.transport.iceGatherer, ("_connection",)),
        "aioice.Connection": (ice, _OF_ICE),
        "aiortc.RTCDtlsTransport": (dtls, _OF_DTLS),
        "aiortc.RTCRtpReceiver": (receiver, _OF_RECEIVER),
        "aiortc.RTCRtpSender": (sender, _OF_SENDER),
    }
    gone = [f"{of}.{n}" for of, (thing, names) in wanted.items() for n in names if not hasattr(thing, n)]
    if "timeout" not in _parameters(getattr(aioice.ice.Connection, "get_component_candidates", None)):
        gone.append("aioice.Connection.get_component_candidates(timeout=)")
    return gone


_OF_ICE = ("_nominated", "data_received", "request_received", "build_request", "remote_password")
_OF_DTLS = ("_rx_srtp", "_tx_srtp", "_rtp_router", "_register_rtp_receiver")
_OF_RECEIVER = (
    *aiortc_pictures.OF_RECEIVER,
    "_run_rtcp",
    "_RTCRtpReceiver__started",
    "_RTCRtpReceiver__rtcp_task",
    "_RTCRtpReceiver__remote_streams",
    "_RTCRtpReceiver__decoder_thread",
)
_OF_SENDER = (
    *aiortc_pictures.OF_SENDER,
    "_ssrc",
    "_run_rtp",
    "_handle_rtcp_packet",
    "_RTCRtpSender__rtp_started",
    "_RTCRtpSender__rtp_exited",
    "_RTCRtpSender__packet_count",
    "_RTCRtpSender__octet_count",
    "_RTCRtpSender__rtp_timestamp",
    "_RTCRtpSender__ntp_timestamp",
    "_RTCRtpSender__rtt",
)


def _parameters(function: Any) -> tuple[str, ...]:
    return tuple(function.__code__.co_varnames) if function is not None else ()
