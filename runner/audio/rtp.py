"""RTP packets (RFC 3550), and a receiver's statistics of them. Pure: bytes and `now` in."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("!BBHII")
HEADER_BYTES = _HEADER.size
VERSION = 0x80
_PADDING, _EXTENSION, _CSRC_COUNT = 0x20, 0x10, 0x0F
_MARKER, _PAYLOAD_TYPE = 0x80, 0x7F


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet, without its header extensions and contributing sources.

    `timestamp` counts the codec's clock modulo 2**32, `sequence` the packets modulo 2**16.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Parse a packet; None if the bytes are not a whole RTP packet (RFC 3550 §5.1)."""
    if len(data) < HEADER_BYTES or data[0] & 0xC0 != VERSION:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    begin, end = HEADER_BYTES + 4 * (first & _CSRC_COUNT), len(data)
    if first & _EXTENSION:
        if begin + 4 > end:
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    if first & _PADDING:
        if not data[-1]:
            return None
        end -= data[-1]
    if begin > end:
        return None
    payload_type, marker = second & _PAYLOAD_TYPE, second >= _MARKER
    return RtpPacket(payload_type, sequence, timestamp, ssrc, data[begin:end], marker)


def build_rtp(packet: RtpPacket) -> bytes:
    """The packet's bytes, without extensions."""
    second = packet.payload_type | (_MARKER if packet.marker else 0)
    return _HEADER.pack(VERSION, second, packet.sequence, packet.timestamp, packet.ssrc) + packet.payload


def ahead16(sequence: int, of: int) -> int:
    """How far a 16-bit number is ahead of another, modulo 2**16 (negative: behind)."""
    return ((sequence - of + 0x8000) & 0xFFFF) - 0x8000


def ahead32(timestamp: int, of: int) -> int:
    """As `ahead16`, for 32 bits."""
    return ((timestamp - of + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Reception:
    """Statistics of one source for a receiver report (RFC 3550 §6.4.1, A.3 and A.8).

    aiortc's receiver reads the names without a unit for its RTCP reports.

    Attributes:
        packets_received: all packets that arrived, duplicates included.
        max_seq: the highest sequence number, extended by its wraps.
    """

    def __init__(self, clock_hz: int) -> None:
        self.packets_received = 0
        self.max_seq = 0
        self._clock_hz = clock_hz
        self._base = 0
        self._reported = (0, 0)
        self._last: tuple[int, float] | None = None
        self._jitter_ticks = 0.0

    def add(self, packet: RtpPacket, now: float) -> None:
        """Count a packet that arrived at `now` (s)."""
        self.packets_received += 1
        if self._last is None:
            self._base = self.max_seq = packet.sequence
        else:
            ahead = ahead16(packet.sequence, self.max_seq & 0xFFFF)
            if ahead <= 0:
                return
            self.max_seq += ahead
            self._spread(packet, now, *self._last)
        self._last = (packet.timestamp, now)

    def _spread(self, packet: RtpPacket, now: float, timestamp: int, at: float) -> None:
        moved = (now - at) * self._clock_hz - ahead32(packet.timestamp, timestamp)
        self._jitter_ticks += (abs(moved) - self._jitter_ticks) / 16

    @property
    def packets_expected(self) -> int:
        return self.max_seq - self._base + 1 if self._last is not None else 0

    @property
    def packets_lost(self) -> int:
        """Negative if packets were duplicated; limited to 24 bits, as in a report."""
        return max(-(1 << 23), min((1 << 23) - 1, self.packets_expected - self.packets_received))

    @property
    def fraction_lost(self) -> int:
        """The share of packets lost since the last read of this property, in 1/256."""
        expected, received = self.packets_expected, self.packets_received
        expected_now, received_now = expected - self._reported[0], received - self._reported[1]
        self._reported = (expected, received)
        lost = expected_now - received_now
        return min(255, (lost << 8) // expected_now) if expected_now > 0 and lost > 0 else 0

    @property
    def jitter(self) -> int:
        """Interarrival jitter in ticks of the clock."""
        return int(self._jitter_ticks)

    @property
    def jitter_secs(self) -> float:
        return self._jitter_ticks / self._clock_hz
