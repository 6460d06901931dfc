"""The only file that uses private names of aiortc and aioice.

`missing_names()` lists names that a new version has removed; a test calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

import aioice.ice
import aioice.stun
import pylibsrtp

from runner.audio.rtp import RtpPacket, parse_rtp
from runner.transports.webrtc import datagram_guard
from runner.transports.webrtc.datagram_guard import DatagramGuard, Drop, Kind

if TYPE_CHECKING:
    from aiortc import RTCIceTransport, RTCRtpTransceiver
    from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters

    from runner.transports.webrtc.camera import CameraTrack

LOOPBACK = "127.0.0.1"
# With a STUN or TURN server that does not respond, aioice delays the answer by 5 s.
GATHERING_SECS = 1.5
MIN_RELAYED_BYTES = 4  # header of TURN channel data
NTP_EPOCH_SECS = 2_208_988_800  # from 1900 to 1970

_with_loopback: ContextVar[bool] = ContextVar("botrun_gather_loopback", default=False)
_marker = "_botrun_with_loopback"


def host_addresses_with_loopback() -> None:
    """Make aioice gather 127.0.0.1, which it does not do by default.

    It is gathered inside `gathering_loopback(True)`, and if the machine has no other address. Other addresses
    come from the current `get_host_addresses`, which the benchmarks replace.
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
    """Limit waiting for STUN and TURN servers to `GATHERING_SECS`."""
    connection: Any = transport.iceGatherer._connection
    connection.get_component_candidates = functools.partial(
        connection.get_component_candidates, timeout=GATHERING_SECS
    )


def _with_rsa(create: Callable[..., Any], **options: Any) -> Any:
    """Also accept RSA certificates, such as GStreamer's: as a DTLS client, aiortc accepts only ECDSA."""
    context = create(**options)
    suites = ("AES128-GCM-SHA256", "CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")
    context.set_cipher_list(
        ":".join(f"ECDHE-{kind}-{s}" for kind in ("ECDSA", "RSA") for s in suites).encode()
    )
    return context


class MediaLink:
    """RTP of one transceiver without aiortc's media path; SRTP, ICE and RTCP remain aiortc's.

    aiortc's receiver would start a thread and buffer four packets (80 ms); its sender would pull a track,
    switch threads and compute levels in Python. Neither is started. Methods are replaced only on this peer's
    objects, never on aiortc's classes.

    Attributes:
        payload_type: Opus's, while the peer accepts sound; else None.
        ssrc: the source of sent packets.
        heard: number of packets and ICE checks received from the caller, of any kind.
        guard: decides which datagrams are read, and counts dropped ones.
        on_rtp: called with each Opus packet; returns True if its source is new.
        on_loss: called with the share (0 to 1) of sent packets that the peer reports as lost.
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
        certificate = self._dtls._RTCDtlsTransport__local_certificate
        certificate._create_ssl_context = functools.partial(_with_rsa, certificate._create_ssl_context)
        self.guard = DatagramGuard(self._ice.local_username)
        self.ssrc: int = self._sender._ssrc
        self._opus: set[int] = set()
        self._receiver.receive = self._start_receiving
        self._sender._run_rtp = self._stay_silent
        self._report, self._sender._handle_rtcp_packet = self._sender._handle_rtcp_packet, self._on_rtcp
        self._gather, self._ice.get_component_candidates = (
            self._ice.get_component_candidates,
            self._gather_guarded,
        )
        self._ice.data_received = self._on_malformed_stun
        self._check, self._ice.check_incoming = self._ice.check_incoming, self._on_check
        self._refuse, self._ice.respond_error = self._ice.respond_error, self._on_refused_check
        self._note_state, self._ice.check_state = self._ice.check_state, self._on_check_state
        self._take_next, self._dtls._recv_next = self._dtls._recv_next, self._take_next_guarded

    # ------------------------------------------------------------ who may send to us

    async def _gather_guarded(self, component: int, addresses: list[str]) -> Any:
        """Open the sockets with the guard before each."""
        known = list(self._ice._protocols)
        candidates = await self._gather(component, addresses)
        for protocol in self._ice._protocols:
            if protocol not in known:
                self._guard_protocol(protocol)
        return candidates

    def _guard_protocol(self, protocol: Any) -> None:
        handle_stun, sort, broken = protocol.datagram_received, self.guard.sort, self.guard.broken
        component: int = protocol.local_candidate.component

        def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
            kind = sort(data, address if len(address) == 2 else address[:2], protocol.transactions)
            if kind is None:
                return
            try:
                if kind is Kind.MEDIA:
                    self._on_media(data, component)
                elif kind is Kind.DTLS:
                    self._queue(data, component)
                else:
                    handle_stun(data, address)
            except Exception as error:  # uvloop closes a socket whose protocol raises
                broken(kind.value, error)

        protocol.datagram_received = datagram_received
        relay = getattr(protocol.transport, "_TurnTransport__inner_protocol", None)
        if relay is not None and hasattr(relay, "datagram_received"):
            self._guard_relay(relay)

    def _guard_relay(self, relay: Any) -> None:
        """Guard the socket to a TURN server, since anybody can send to it."""
        handle = relay.datagram_received

        def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
            if len(data) < MIN_RELAYED_BYTES:
                self.guard.drop(Drop.LENGTH)
                return
            try:
                handle(data, address)
            except Exception as error:
                self.guard.broken("TURN", error)

        relay.datagram_received = datagram_received

    def _on_malformed_stun(self, data: bytes, component: int) -> None:
        """Called by aioice for data that it cannot parse as STUN."""
        self.guard.drop(Drop.UNKNOWN)

    def _on_check(self, message: Any, address: Any, protocol: Any) -> None:
        """An authenticated ICE check from the peer; repeated every few seconds as consent (RFC 7675)."""
        if not self.guard.passed_check(address):
            self.guard.drop(Drop.UNCHECKED)
            return
        self.heard += 1
        self._check(message, address, protocol)

    def _on_check_state(self, pair: Any, state: Any) -> None:
        """An ICE check was answered, which proves the address of a peer that sends no checks (ICE lite)."""
        if state is type(state).SUCCEEDED:
            self.guard.passed_check(pair.remote_addr)
        self._note_state(pair, state)

    def _on_refused_check(self, request: Any, address: Any, protocol: Any, error: tuple[int, str]) -> None:
        """Limit aioice's answers to checks without valid credentials, against floods."""
        if error[0] in (400, 401):
            self.guard.drop(Drop.CREDENTIALS)
            if self.guard.dropped[Drop.CREDENTIALS] > datagram_guard.MAX_ERROR_REPLIES:
                return
        self._refuse(request, address, protocol, error)

    async def _take_next_guarded(self) -> None:
        """Keep aiortc's DTLS task, and the call, alive when a parser of DTLS, RTCP or SCTP fails."""
        try:
            await self._take_next()
        except ConnectionError:
            raise
        except Exception as error:
            self.guard.broken("DTLS, RTCP or SCTP", error)

    def _queue(self, data: bytes, component: int) -> None:
        """Pass a datagram from the caller to aiortc's DTLS task."""
        queue = self._ice._queue
        if queue.qsize() >= datagram_guard.MAX_QUEUED:
            self.guard.drop(Drop.FLOOD)
            return
        self.heard += 1
        queue.put_nowait((data, component))

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

    def _on_media(self, data: bytes, component: int) -> None:
        """RTP or RTCP from a checked address."""
        srtp, guard, ssrc = self._dtls._rx_srtp, self.guard, data[8:12]
        if srtp is None or data[1] & 0x7F not in self._opus:  # which includes RTCP (RFC 5761 §4)
            self._queue(data, component)
            return
        if not guard.allows_source(ssrc):
            guard.drop(Drop.SOURCES)
            return
        try:
            packet = parse_rtp(srtp.unprotect(data))
        except pylibsrtp.Error:
            guard.drop(Drop.REFUSED)
            return
        guard.sources.add(ssrc)
        self.heard += 1
        if packet is not None and packet.payload_type in self._opus and self.on_rtp(packet):
            self._note_source(packet.ssrc)

    def _note_source(self, ssrc: int) -> None:
        """Let aiortc report on received packets, and get the sender's reports for the round-trip time."""
        if self.reception is not None:
            self._receiver._RTCRtpReceiver__remote_streams = {ssrc: self.reception()}
        self._dtls._rtp_router.ssrc_table[ssrc] = self._receiver

    # ------------------------------------------------------------ out

    async def _stay_silent(self, codec: RTCRtpCodecParameters) -> None:
        """Replaces the task that pulls a track; only notes when sending may begin."""
        self.payload_type = codec.payloadType
        self._sender._RTCRtpSender__rtp_started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.payload_type = None
            self._sender._RTCRtpSender__rtp_exited.set()

    def send_rtp(self, data: bytes, timestamp: int, payload_bytes: int) -> None:
        """Send one packet, if connected."""
        pair, srtp, sender = self._ice._nominated.get(1), self._dtls._tx_srtp, self._sender
        if pair is None or srtp is None:
            return
        pair.protocol.transport.sendto(srtp.protect(data), pair.remote_addr)
        # For the next sender report (RFC 3550 §6.4.1).
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
        """Round-trip time (s) from the peer's reports; None before the first."""
        return cast(float | None, self._sender._RTCRtpSender__rtt)

    # ------------------------------------------------------------ still there?

    async def ask_consent(self) -> bool:
        """Send an ICE check; True if it is answered. aioice itself checks only every 5 s."""
        pair, password = self._ice._nominated.get(1), self._ice.remote_password
        if pair is None or password is None:
            return False
        ask, key = self._ice.build_request(pair, nominate=False), password.encode()
        with contextlib.suppress(aioice.stun.TransactionError):
            await pair.protocol.request(ask, pair.remote_addr, integrity_key=key, retransmissions=1)
            self.heard += 1
            return True
        return False


def missing_names() -> list[str]:
    """Names used here that the installed aiortc and aioice lack. Call it in an event loop."""
    from aiortc import RTCCertificate, RTCConfiguration, RTCPeerConnection

    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = pc.addTransceiver("audio")
    receiver, sender = transceiver.receiver, transceiver.sender
    dtls: Any = receiver.transport
    ice: Any = getattr(dtls.transport, "_connection", None)
    wanted: dict[str, tuple[object, tuple[str, ...]]] = {
        "aioice.ice": (aioice.ice, ("get_host_addresses",)),
        "aioice.stun": (aioice.stun, ("TransactionError",)),
        "aioice.StunProtocol": (aioice.ice.StunProtocol(ice), ("datagram_received", "transactions")),
        "aioice.CandidatePair.State": (aioice.ice.CandidatePair.State, ("SUCCEEDED",)),
        "aiortc.RTCIceGatherer": (dtls.transport.iceGatherer, ("_connection",)),
        "aioice.Connection": (ice, _OF_ICE),
        "aiortc.RTCDtlsTransport": (dtls, _OF_DTLS),
        "aiortc.RTCCertificate": (RTCCertificate, ("_create_ssl_context",)),
        "aiortc.RTCRtpReceiver": (receiver, _OF_RECEIVER),
        "aiortc.RTCRtpSender": (sender, _OF_SENDER),
    }
    gone = [f"{of}.{n}" for of, (thing, names) in wanted.items() for n in names if not hasattr(thing, n)]
    gather = getattr(aioice.ice.Connection, "get_component_candidates", None)
    if gather is None or "timeout" not in gather.__code__.co_varnames:
        gone.append("aioice.Connection.get_component_candidates(timeout=)")
    return gone


_OF_ICE = (
    *("_nominated", "_protocols", "_queue", "build_request", "local_username", "remote_password"),
    *("data_received", "get_component_candidates", "check_incoming", "check_state", "respond_error"),
)
_OF_DTLS = (
    *("_rx_srtp", "_tx_srtp", "_rtp_router", "_register_rtp_receiver", "_recv_next"),
    "_RTCDtlsTransport__local_certificate",
)
_HIDDEN_OF_RECEIVER = "started rtcp_task remote_streams decoder_queue decoder_error decoder_thread"
_OF_RECEIVER = ("_run_rtcp", *(f"_RTCRtpReceiver__{name}" for name in _HIDDEN_OF_RECEIVER.split()))
_HIDDEN_OF_SENDER = "rtp_started rtp_exited packet_count octet_count rtp_timestamp ntp_timestamp rtt encoder"
_OPEN_OF_SENDER = ("_ssrc", "_run_rtp", "_handle_rtcp_packet", "_send_keyframe")
_OF_SENDER = (*_OPEN_OF_SENDER, *(f"_RTCRtpSender__{name}" for name in _HIDDEN_OF_SENDER.split()))


MAX_UNDECODED = 15  # pictures (half a second) queued for the decoder's thread
_DEFAULT_BITRATE = 500_000  # aiortc.codecs.vpx.DEFAULT_BITRATE: the value until the peer has reported one


class _BoundedQueue(queue.Queue[Any]):
    """A bounded decoder queue; aiortc's is unbounded, so a slow decoder would fall behind forever.

    After dropping a picture it requests a key frame (RFC 4585 §6.3.1).
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
    """Bound the decoder's queue. Call it before the receiver has started."""
    receiver: Any = transceiver.receiver
    if receiver._RTCRtpReceiver__decoder_thread is None:
        receiver._RTCRtpReceiver__decoder_queue = _BoundedQueue(receiver._RTCRtpReceiver__decoder_error)


def show(transceiver: RTCRtpTransceiver, track: CameraTrack) -> None:
    """Send the track, and pass the peer's keyframe requests and bitrate to it."""
    sender: Any = transceiver.sender
    sender.replaceTrack(track)
    sender._send_keyframe = track.refresh

    def limit() -> int | None:
        encoder = sender._RTCRtpSender__encoder  # packetizes encoded pictures; aiortc sets its bitrate limit
        bitrate: int | None = getattr(encoder, "target_bitrate", None)
        return bitrate if bitrate != _DEFAULT_BITRATE else None

    track.bitrate_limit = limit
