"""RTP packets and what a receiver counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.audio.rtp import Reception, RtpPacket, ahead16, ahead32, build_rtp, parse_rtp

packets = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=50),
    marker=st.booleans(),
)


@given(packets)
def test_what_is_built_is_what_is_parsed(packet: RtpPacket) -> None:
    assert parse_rtp(build_rtp(packet)) == packet


def test_extensions_sources_and_padding_are_passed_over() -> None:
    header = bytes([0x80 | 0x20 | 0x10 | 2, 96]) + bytes(10)
    sources, extension = bytes(8), b"\xbe\xde\x00\x01abcd"
    parsed = parse_rtp(header + sources + extension + b"sound" + b"\0\0\3")
    assert parsed is not None
    assert parsed.payload == b"sound"


@given(st.binary(max_size=40))
def test_no_bytes_do_harm(data: bytes) -> None:
    parse_rtp(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(12),  # version 0
        b"\x80" + bytes(10),  # too short
        b"\xa0" + bytes(11),  # padding of no bytes
        b"\x90" + bytes(11),  # an extension that is not there
        b"\x90" + bytes(13) + b"\xff\xff",  # an extension beyond the end
        b"\xa0" + bytes(11) + b"\x09",  # padding beyond the payload
    ],
)
def test_what_is_not_a_whole_packet_is_none(data: bytes) -> None:
    assert parse_rtp(data) is None


def test_numbers_wrap() -> None:
    assert ahead16(2, 0xFFFF) == 3
    assert ahead16(0xFFFF, 2) == -3
    assert ahead32(5, 0xFFFFFFFF) == 6


def feed(reception: Reception, sequences: list[int], spread: float = 0.0) -> None:
    for n, sequence in enumerate(sequences):
        at = 10 + (sequence - sequences[0]) * 0.02 + (spread if n % 2 else 0.0)
        reception.add(RtpPacket(96, sequence & 0xFFFF, sequence * 960 & 0xFFFFFFFF, 1, b""), at)


def test_loss_is_counted_over_a_wrap_and_since_the_last_report() -> None:
    reception = Reception(48000)
    feed(reception, [n for n in range(65500, 65600) if n % 10])
    assert reception.packets_lost == 9  # 65500 came never, so nobody misses it
    assert reception.fraction_lost == 9 * 256 // 99
    assert reception.fraction_lost == 0
    assert reception.max_seq == 65599


def test_an_old_or_doubled_packet_lowers_the_count_of_lost_ones_only() -> None:
    reception = Reception(48000)
    feed(reception, [1, 2, 4, 3, 3])
    assert reception.packets_expected == 4
    assert reception.packets_lost == -1
    assert reception.fraction_lost == 0


def test_jitter_is_that_of_rfc_3550() -> None:
    calm, rough = Reception(48000), Reception(48000)
    feed(calm, list(range(500)))
    feed(rough, list(range(500)), spread=0.010)
    assert calm.jitter_secs == pytest.approx(0, abs=1e-4)
    assert rough.jitter_secs == pytest.approx(0.010, abs=1e-3)
    assert rough.jitter == pytest.approx(480, abs=48)
