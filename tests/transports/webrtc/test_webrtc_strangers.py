"""Datagrams of strangers, sent by real sockets to the port of a call that is under way or being set up.

Each test proves that its datagrams arrived: the guard's counters name them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterable

import pytest
from eventually import eventually
from webrtc_page import Log, Page, call

from runner.transports.webrtc import SmallWebRTCConnection
from runner.transports.webrtc.aiortc_private import MediaLink
from runner.transports.webrtc.datagram_guard import MAX_SOURCES, MAX_STUN_BYTES, Drop

COOKIE = 0x2112A442
DTLS_ALERT = bytes.fromhex("15fefd00000000000000000002") + b"\x02\x28"  # fatal, handshake_failure
DTLS_CLIENT_HELLO = bytes.fromhex("16fefd0000000000000000002c01000020000000000000002000000000") + bytes(32)
DTLS_CLOSE_NOTIFY = bytes.fromhex("15fefd00010000000000010002") + b"\x01\x00"


def stun(attributes: bytes = b"", kind: int = 0x0001) -> bytes:
    return struct.pack("!HHI", kind, len(attributes), COOKIE) + os.urandom(12) + attributes


def rtp(payload: bytes = bytes(40), ssrc: int = 7, kind: int = 96) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, 1, 960, ssrc) + payload


def rtcp(kind: int, body: bytes = bytes(24)) -> bytes:
    return struct.pack("!BBHI", 0x81, kind, len(body) // 4 + 1, 7) + body


def link_of(connection: SmallWebRTCConnection) -> MediaLink:
    peer = connection._peer
    assert peer is not None
    return peer.link


def ports(connection: SmallWebRTCConnection) -> list[int]:
    """Our UDP ports on loopback, as the answer names them."""
    lines = connection.get_answer()["sdp"].splitlines()
    found = [line.split() for line in lines if line.startswith("a=candidate") and " 127.0.0.1 " in line]
    return sorted({int(words[5]) for words in found})


def send(connection: SmallWebRTCConnection, datagrams: Iterable[bytes]) -> int:
    """From a socket that the call knows nothing of; returns how many left."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        for datagram in datagrams:
            for port in ports(connection):
                stranger.sendto(datagram, ("127.0.0.1", port))
                sent += 1
    return sent


@contextlib.asynccontextmanager
async def running_call() -> AsyncIterator[tuple[SmallWebRTCConnection, Page, Log]]:
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names and page.channel.readyState == "open")
        yield connection, page, log


async def still_talks(connection: SmallWebRTCConnection, page: Page, log: Log) -> None:
    """Sound and messages go through, and nothing has ended."""
    heard: list[bytes] = []
    connection.receive_audio(16000, heard.append)
    page.channel.send('{"still": "there"}')
    await eventually(lambda: heard and {"still": "there"} in log.messages)
    assert log.names == ["connected"]
    assert connection.is_connected()
    assert link_of(connection)._dtls.state == "connected"


STRANGERS = {
    "2,049 bytes like RTP": (b"\x80\x60" + bytes(2047), Drop.LENGTH),
    "65,507 bytes like RTP": (b"\x80\x60" + bytes(65505), Drop.LENGTH),
    "1,501 bytes like RTCP": (b"\x80\xc8" + bytes(1499), Drop.LENGTH),
    "nothing": (b"", Drop.LENGTH),
    "one byte like RTP": (b"\x80", Drop.LENGTH),
    "one byte like STUN": (b"\x00", Drop.LENGTH),
    "one byte like DTLS": (b"\x16", Drop.LENGTH),
    "RTP of our payload type": (rtp(), Drop.UNCHECKED),
    "RTCP sender report": (rtcp(200), Drop.UNCHECKED),
    "RTCP goodbye": (rtcp(203), Drop.UNCHECKED),
    "RTCP with a length beyond its end": (b"\x9f\xc8\xff\xff" + bytes(20), Drop.UNCHECKED),
    "DTLS alert": (DTLS_ALERT, Drop.UNCHECKED),
    "DTLS ClientHello": (DTLS_CLIENT_HELLO, Drop.UNCHECKED),
    "DTLS close_notify": (DTLS_CLOSE_NOTIFY, Drop.UNCHECKED),
    "ZRTP": (b"\x10\x00" + bytes(30), Drop.UNKNOWN),
    "TURN channel data": (b"\x40\x00" + bytes(30), Drop.UNKNOWN),
    "text": (b"GET / HTTP/1.1\r\n\r\n" + bytes(20), Drop.UNKNOWN),
    "STUN request without a user": (stun(), Drop.CREDENTIALS),
    "STUN request of another call": (stun(struct.pack("!HH", 6, 8) + b"abcd:efg"), Drop.CREDENTIALS),
    "STUN longer than any check": (stun(struct.pack("!HH", 6, 2048) + bytes(2048)), Drop.LENGTH),
    "STUN of 64 KiB": (stun(struct.pack("!HH", 0x8022, 65480) + bytes(65480)), Drop.LENGTH),
    "STUN with a broken attribute": (
        stun(struct.pack("!HHH", 0x24, 2, 0) + bytes(2), 0x0101),
        Drop.CREDENTIALS,
    ),
    "STUN error response": (stun(struct.pack("!HHHBB", 9, 4, 0, 4, 1), 0x0111), Drop.CREDENTIALS),
}


@pytest.mark.parametrize(("datagram", "why"), STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_strangers_datagram_changes_nothing(
    datagram: bytes, why: Drop, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_call() as (connection, page, log):
        dropped, before = link_of(connection).guard.dropped, link_of(connection).guard.dropped[why]
        with caplog.at_level(logging.WARNING):
            sent = send(connection, [datagram] * 20)
            await eventually(lambda: dropped[why] - before >= min(sent, 3))  # large ones overflow the socket
        await still_talks(connection, page, log)
        # At INFO, aioice logs each check of the call, if an earlier test has lowered its level.
        assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) <= 1, caplog.text


async def test_strangers_do_not_keep_a_call_alive() -> None:
    async with running_call() as (connection, _, _log):
        link = link_of(connection)
        _silence_callers_packets(link)
        before = link.heard
        sent = send(connection, [datagram for datagram, _ in STRANGERS.values()])
        await eventually(lambda: link.guard.dropped.total() >= sent - 4)
        assert link.heard == before


def _silence_callers_packets(link: MediaLink) -> None:
    """The caller's address is forgotten, so that only strangers' datagrams could count."""
    link.guard.checked.clear()


@pytest.mark.long
async def test_ten_thousand_empty_datagrams_write_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with running_call() as (connection, page, log):
            dropped = link_of(connection).guard.dropped
            while dropped[Drop.LENGTH] < 10_000:
                send(connection, [b"", b"\x80"] * 10)
                await asyncio.sleep(0)
            await still_talks(connection, page, log)
    lines = [record.getMessage() for record in caplog.records if "datagram" in record.getMessage()]
    assert len(lines) == 1
    assert connection.pc_id in lines[0]
    assert Drop.LENGTH in lines[0]


@pytest.mark.parametrize("datagram", [DTLS_ALERT, DTLS_CLIENT_HELLO], ids=["alert", "ClientHello"])
async def test_forged_dtls_during_setup_does_not_keep_the_call_from_connecting(datagram: bytes) -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    log = Log(connection)
    try:
        await connection.initialize(**await page.offer())
        await connection.connect()
        guard, sent = link_of(connection).guard, send(connection, [datagram] * 5)
        await page.take(connection.get_answer())
        while "connected" not in log.names:
            sent += send(connection, [datagram])
            await asyncio.sleep(0.005)
            assert connection.close_reason is None
        assert sent > 5
        await eventually(lambda: guard.dropped[Drop.UNCHECKED] >= sent)
        await eventually(lambda: page.channel.readyState == "open")
        await still_talks(connection, page, log)
    finally:
        await connection.disconnect()
        await connection.events.aclose()
        await page.aclose()


async def test_a_stun_flood_during_setup_does_not_keep_the_call_from_connecting() -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    log = Log(connection)
    try:
        await connection.initialize(**await page.offer())
        await connection.connect()
        link = link_of(connection)
        ufrag = link._ice.local_username.encode()
        user = ufrag + b":abcd"
        forged = stun(struct.pack("!HH", 6, len(user)) + user + bytes(-len(user) % 4))
        sent = send(connection, [stun(), forged] * 200)
        await page.take(connection.get_answer())
        while "connected" not in log.names:
            sent += send(connection, [stun(), forged] * 20)
            await asyncio.sleep(0.005)
            assert connection.close_reason is None
        await eventually(lambda: link.guard.dropped[Drop.CREDENTIALS] > 50)
        assert len(link.guard.checked) <= 2  # no stranger's address was taken for the caller's
        await eventually(lambda: page.channel.readyState == "open")
        await still_talks(connection, page, log)
    finally:
        await connection.disconnect()
        await connection.events.aclose()
        await page.aclose()


# ------------------------------------------------------------------ with the caller's own address or keys


async def test_garbage_from_the_callers_own_address_ends_the_packet_not_the_call() -> None:
    async with running_call() as (connection, page, log):
        pair = page.pc.getTransceivers()[0].receiver.transport.transport._connection._nominated[1]
        garbage = [
            *(b"\x80\x60" + bytes(size) for size in (0, 1, 9, 10, 2047, 60000)),
            *(b"\x80\xc8" + bytes(size) for size in (0, 1, 5, 6, 20, 2047)),
            *(rtcp(kind, os.urandom(24)) for kind in range(192, 224)),
            *(rtp(os.urandom(30), ssrc, kind) for ssrc in (1, 2) for kind in (0, 96, 111, 127)),
            DTLS_CLIENT_HELLO,
            DTLS_CLOSE_NOTIFY,
            b"\x16\xfe\xfd" + os.urandom(1000),
            b"\x17\xfe\xfd" + os.urandom(9000),
            b"",
        ]
        link = link_of(connection)
        before = link.guard.dropped.total()
        for datagram in garbage:
            pair.protocol.transport.sendto(datagram, pair.remote_addr)
        await eventually(lambda: link.guard.dropped[Drop.LENGTH] and link.guard.dropped[Drop.REFUSED])
        assert link.guard.dropped.total() - before >= 10
        await still_talks(connection, page, log)


async def test_a_parser_that_fails_ends_the_packet_not_the_task(caplog: pytest.LogCaptureFixture) -> None:
    async with running_call() as (connection, page, log):
        link = link_of(connection)
        calls = 0

        async def fail(data: bytes) -> None:
            nonlocal calls
            calls += 1
            raise IndexError("a parser's fault")

        handle, link._dtls._handle_rtcp_data = link._dtls._handle_rtcp_data, fail
        with caplog.at_level(logging.WARNING):
            await eventually(lambda: calls >= 2, 15)
        link._dtls._handle_rtcp_data = handle
        assert link.guard.dropped[Drop.BROKEN] >= 2
        assert len([record for record in caplog.records if "IndexError" in record.getMessage()]) == 1
        await still_talks(connection, page, log)


async def test_a_replayed_packet_is_heard_once() -> None:
    async with running_call() as (connection, page, log):
        link = link_of(connection)
        pair = page.pc.getTransceivers()[0].receiver.transport.transport._connection._nominated[1]
        send_once, copies = pair.protocol.transport.sendto, 0

        class Doubling:
            """Sends each packet of sound three times."""

            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
                nonlocal copies
                send_once(data, addr)
                if data[0] & 0xC0 == 0x80 and not 64 <= data[1] & 0x7F < 96:
                    copies += 2
                    send_once(data, addr)
                    send_once(data, addr)

        real = pair.protocol.transport
        heard: list[int] = []
        receive = link.on_rtp
        link.on_rtp = lambda packet: (heard.append(packet.sequence), receive(packet))[1]
        pair.protocol.transport = Doubling()
        await eventually(lambda: copies >= 40)
        pair.protocol.transport = real
        await eventually(lambda: link.guard.dropped[Drop.REFUSED] >= 40)
        assert len(heard) == len(set(heard))
        await still_talks(connection, page, log)


async def test_sources_without_end_take_no_memory_without_end() -> None:
    async with running_call() as (connection, page, log):
        link = link_of(connection)
        dtls = page.pc.getTransceivers()[0].receiver.transport
        pair = dtls.transport._connection._nominated[1]
        (kind,) = link._opus
        for ssrc in range(1000, 1000 + 4 * MAX_SOURCES):
            packet = dtls._tx_srtp.protect(rtp(b"\xf8\xff\xfe", ssrc, kind))
            pair.protocol.transport.sendto(packet, pair.remote_addr)
        await eventually(lambda: link.guard.dropped[Drop.SOURCES] >= 3 * MAX_SOURCES)
        assert len(link._dtls._rtp_router.ssrc_table) <= MAX_SOURCES + 2
        await still_talks(connection, page, log)


def test_the_longest_check_of_a_browser_fits() -> None:
    assert MAX_STUN_BYTES >= 548  # RFC 8489 §6.1: the least that every path carries, 576 with its headers
