"""`SmallWebRTCConnection` against a real aiortc peer in this process, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from typing import Any

import pytest
from aiortc import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from eventually import eventually
from webrtc_page import Log, Page, call

from runner.errors import OfferError, ProtocolError, UsageError
from runner.settings.parsing import IceServer
from runner.transports.webrtc import CloseReason, SmallWebRTCConnection, peer_watch
from runner.transports.webrtc.signaling import messages
from runner.transports.webrtc.tracks import OutboundAudioTrack

# ------------------------------------------------------------------ being there and leaving


async def test_both_sides_connect_and_the_bot_hears_of_it_when_it_is_ready() -> None:
    async with call() as (connection, page, log):
        await eventually(lambda: page.pc.connectionState == "connected" and connection.is_connected())
        await asyncio.sleep(0.05)
        assert log.names == []
        await connection.connect()
        await connection.connect()
        await eventually(lambda: log.names)
        assert log.names == ["connected"]
    assert log.names == ["connected", "disconnected", "closed"]
    assert connection.close_reason is CloseReason.CLOSED


def rsa_certificate() -> RTCCertificate:
    """As GStreamer makes them; as a DTLS server it takes what fits it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(
        now + datetime.timedelta(1)
    )
    certificate = RTCCertificate(key, builder.sign(key, hashes.SHA256()))  # type: ignore[arg-type]
    create = certificate._create_ssl_context

    def any_cipher(**options: Any) -> Any:
        context = create(**options)
        context.set_cipher_list(b"DEFAULT")
        return context

    certificate._create_ssl_context = any_cipher  # type: ignore[method-assign]
    return certificate


async def test_a_peer_with_an_rsa_certificate_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RTCCertificate, "generateCertificate", classmethod(lambda cls: rsa_certificate()))
    page = Page()
    monkeypatch.undo()
    connection = SmallWebRTCConnection(peer_is_local=True)
    try:
        await connection.initialize(**await page.offer())
        assert "a=setup:active" in connection.get_answer()["sdp"]  # so the page is the DTLS server
        await page.take(connection.get_answer())
        await eventually(lambda: page.pc.connectionState == "connected" and connection.is_connected())
    finally:
        await connection.disconnect()
        await connection.events.aclose()
        await page.aclose()


async def test_the_answer_has_all_candidates_and_the_connections_name() -> None:
    async with call() as (connection, _, _log):
        answer = connection.get_answer()
        assert answer["type"] == "answer"
        assert answer["pc_id"] == connection.pc_id
        assert connection.pc_id.startswith("SmallWebRTCConnection#")
        assert " 127.0.0.1 " in answer["sdp"]
        assert "a=end-of-candidates" in answer["sdp"]


async def test_a_page_that_closes_is_gone_at_once_and_only_once() -> None:
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        await page.aclose()
        await eventually(lambda: "closed" in log.names, 3)
        await connection.disconnect()
        assert log.names == ["connected", "disconnected", "closed"]
        assert connection.close_reason is CloseReason.LEFT
        assert not connection.is_connected()


async def test_a_page_that_says_peer_left_has_hung_up() -> None:
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: page.channel.readyState == "open")
        page.channel.send('{"type": "signalling", "message": {"type": "peerLeft"}}')
        await eventually(lambda: "closed" in log.names, 3)
        assert connection.close_reason is CloseReason.LEFT


async def test_the_page_learns_that_we_leave_and_why() -> None:
    async with call() as (connection, page, _log):
        await eventually(lambda: page.channel.readyState == "open")
        await connection.disconnect(
            "the bot failed", {"message": "ValueError: x", "file": "bot.py", "line": 7}
        )
        await eventually(lambda: page.got)
        result = json.loads(page.got[-1])["message"]
        assert result["type"] == "peerLeft"
        assert result["reason"] == "the bot failed"
        assert result["error"]["line"] == 7
        await eventually(lambda: page.pc.connectionState == "closed", 3)


async def test_an_offer_without_ice_is_given_up() -> None:
    page, connection = Page(), SmallWebRTCConnection(connection_timeout_secs=0.2)
    log = Log(connection)
    await connection.initialize(**await page.offer())
    await connection.connect()
    await eventually(lambda: "closed" in log.names, 3)
    assert log.names == ["closed"]
    assert connection.close_reason is CloseReason.NEVER_CONNECTED
    await page.aclose()


@pytest.mark.faults(15)
async def test_a_page_that_vanishes_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_watch, "GONE_SECS", 0.4)
    monkeypatch.setattr(peer_watch, "WATCH_SECS", 0.1)
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        await asyncio.sleep(1.0)
        assert "closed" not in log.names  # its media keeps it
        with silenced(page):
            await eventually(lambda: "closed" in log.names, 5)
        assert log.names == ["connected", "disconnected", "closed"]
        assert connection.close_reason is CloseReason.LOST


@contextlib.contextmanager
def silenced(page: Page, *, but_for_stun: bool = False) -> Any:
    """Nothing of the page's reaches the network any more."""
    ice: Any = page.pc.getTransceivers()[0].receiver.transport.transport
    for protocol in ice._connection._protocols:
        wire = protocol.transport

        def sendto(data: bytes, address: Any, send: Any = wire.sendto) -> None:
            if but_for_stun and data[0] < 4:  # RFC 7983 §7
                send(data, address)

        wire.sendto = sendto
    yield


@contextlib.contextmanager
def deafened(page: Page) -> Any:
    """Nothing reaches the page any more, what it sends arrives; yields the sizes of what was dropped."""
    ice: Any = page.pc.getTransceivers()[0].receiver.transport.transport
    dropped: list[int] = []
    kept = [(protocol, protocol.datagram_received) for protocol in ice._connection._protocols]
    for protocol, _ in kept:
        protocol.datagram_received = lambda data, address: dropped.append(len(data))
    try:
        yield dropped
    finally:
        for protocol, received in kept:
            protocol.datagram_received = received


@pytest.mark.faults(15)
async def test_a_page_that_we_no_longer_reach_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7675: what the page sends is no consent to send to it."""
    monkeypatch.setattr(peer_watch, "UNREACHED_SECS", 2.0)
    monkeypatch.setattr(peer_watch, "CONSENT_SECS", 0.2)
    monkeypatch.setattr(peer_watch, "WATCH_SECS", 0.05)
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        assert connection._peer is not None
        with deafened(page) as dropped:
            before = connection._peer.heard
            await eventually(lambda: connection.close_reason)
            assert connection._peer.heard > before + 10  # it is heard all the time
        assert len(dropped) > 3
        await eventually(lambda: "closed" in log.names)
        assert log.names == ["connected", "disconnected", "closed"]
        assert connection.close_reason is CloseReason.UNREACHED


@pytest.mark.faults(13)
async def test_a_page_that_we_reach_again_in_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_watch, "CONSENT_SECS", 0.2)
    monkeypatch.setattr(peer_watch, "WATCH_SECS", 0.05)
    consents: list[float] = []
    note = peer_watch.Liveness.on_consent

    def noting(liveness: peer_watch.Liveness, now: float) -> None:
        consents.append(now)
        note(liveness, now)

    monkeypatch.setattr(peer_watch.Liveness, "on_consent", noting)
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        with deafened(page) as dropped:
            await eventually(lambda: len(dropped) > 10)
            answered = len(consents)
        await eventually(lambda: len(consents) > answered)
        assert log.names == ["connected"]
        # Even if it were to end right away had the answer not counted:
        monkeypatch.setattr(peer_watch, "UNREACHED_SECS", 1.5)
        await eventually(lambda: len(consents) > answered + 3)
        assert log.names == ["connected"]


async def test_a_page_that_sends_no_media_but_consents_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_watch, "GONE_SECS", 0.8)
    monkeypatch.setattr(peer_watch, "SILENT_SECS", 0.2)
    monkeypatch.setattr(peer_watch, "WATCH_SECS", 0.1)
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        with silenced(page, but_for_stun=True):
            await asyncio.sleep(2.0)
        assert "closed" not in log.names
        assert connection.is_connected()


# ------------------------------------------------------------------ further offers


async def test_a_further_offer_is_answered_in_place() -> None:
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: page.channel.readyState == "open")
        name = connection.pc_id
        page.pc.addTransceiver("video", direction="recvonly")
        await connection.renegotiate(**await page.offer())
        await page.take(connection.get_answer())
        connection.send_app_message({"still": "here"})
        await eventually(lambda: page.got)
        assert connection.pc_id == name
        assert log.names == ["connected"]


async def test_a_lost_peer_is_replaced_under_the_same_name_and_the_call_goes_on() -> None:
    async with call() as (connection, first, log):
        await connection.connect()
        track, heard = OutboundAudioTrack(24000), list[bytes]()
        connection.send_audio(track)
        connection.receive_audio(16000, heard.append)
        await eventually(lambda: "connected" in log.names and first.channel.readyState == "open" and heard)
        name, second = connection.pc_id, Page()
        offer = await second.offer()
        await connection.renegotiate(**offer, restart_pc=True)
        await second.take(connection.get_answer())
        await first.aclose()
        await eventually(lambda: second.channel.readyState == "open")
        connection.send_app_message({"again": 1})
        heard.clear()
        await eventually(lambda: second.got and heard)
        assert track.readyState == "live"
        assert connection.pc_id == name
        assert log.names == ["connected", "restarted"]
        await second.aclose()
        await eventually(lambda: "closed" in log.names)
        assert log.names == ["connected", "restarted", "disconnected", "closed"]


async def test_new_ice_credentials_bring_a_new_peer_without_a_flag() -> None:
    async with call() as (connection, _page, log):
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        second = Page()
        await connection.renegotiate(**await second.offer())
        await second.take(connection.get_answer())
        await eventually(lambda: second.channel.readyState == "open")
        assert log.names == ["connected", "restarted"]
        await second.aclose()


async def test_a_closed_connection_takes_no_more_signaling() -> None:
    page, connection = Page(), SmallWebRTCConnection()
    await connection.initialize(**await page.offer())
    await connection.disconnect()
    with pytest.raises(OfferError, match="closed"):
        await connection.renegotiate(**await page.offer())
    with pytest.raises(OfferError, match="closed"):
        await connection.add_ice_candidate("candidate:1 1 udp 1 10.0.0.2 5 typ host", "0", 0)
    await page.aclose()


async def test_an_offer_that_only_aiortc_refuses_leaves_no_peer_behind() -> None:
    page, connection = Page(), SmallWebRTCConnection()
    log = Log(connection)
    offer = await page.offer()
    with pytest.raises(OfferError, match="cannot be used"):
        await connection.initialize(offer["sdp"].replace("a=extmap:1 ", "a=extmap:x "), "offer")
    await connection.events.aclose()
    assert log.names == ["closed"]
    await page.aclose()


# ------------------------------------------------------------------ candidates


async def test_a_page_that_trickles_its_candidates_connects() -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    log = Log(connection)
    offer = await page.offer()
    lines = offer["sdp"].splitlines(True)
    bare = "".join(line for line in lines if "candidate" not in line)
    await connection.initialize(bare, "offer")
    await connection.connect()
    for line in dict.fromkeys(line for line in lines if line.startswith("a=candidate")):
        await connection.add_ice_candidate(line[2:].strip(), "0", 0)
    await connection.add_ice_candidate("", "0", 0)
    await connection.add_ice_candidate(None)
    await page.take(connection.get_answer())
    await eventually(lambda: "connected" in log.names)
    await connection.disconnect()
    await connection.events.aclose()
    await page.aclose()


async def test_a_page_without_any_usable_candidate_connects_by_its_own_checks() -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    log = Log(connection)
    offer = await page.offer()
    hidden = "a=candidate:1 1 udp 2113937151 1f0a5e0c-5d2a-4e0e-8a3e-0123456789ab.local 50000 typ host\r\n"
    lines = [line for line in offer["sdp"].splitlines(True) if "candidate" not in line]
    at = lines.index("a=mid:0\r\n")
    await connection.initialize("".join([*lines[:at], hidden, *lines[at:]]), "offer")
    await connection.connect()
    await page.take(connection.get_answer())
    await eventually(lambda: "connected" in log.names, 5)
    assert connection.left_aside == 1
    await connection.disconnect()
    await connection.events.aclose()
    await page.aclose()


async def test_trickled_candidates_are_bounded() -> None:
    async with call() as (connection, _page, _log):
        for port in range(1, 65):
            await connection.add_ice_candidate(f"candidate:1 1 tcp 1 10.0.0.2 {port} typ host", "0", 0)
        assert connection.left_aside >= 64
        with pytest.raises(OfferError, match="more than 64"):
            await connection.add_ice_candidate("candidate:1 1 udp 1 10.0.0.2 5 typ host", "0", 0)


async def test_a_stun_server_that_does_not_answer_holds_the_answer_up_only_briefly() -> None:
    page = Page()
    connection = SmallWebRTCConnection((IceServer(("stun:127.0.0.1:9",)),), peer_is_local=True)
    async with asyncio.timeout(4):
        await connection.initialize(**await page.offer())
    assert "typ host" in connection.get_answer()["sdp"]
    await connection.disconnect()
    await page.aclose()


# ------------------------------------------------------------------ messages


async def test_messages_wait_for_the_channel_and_come_in_order() -> None:
    async with call() as (connection, page, log):
        for number in range(5):
            connection.send_app_message({"number": number})
        await eventually(lambda: page.channel.readyState == "open")
        page.channel.send("ping: 1")
        for number in range(5):
            page.channel.send(json.dumps({"answer": number}))
        await eventually(lambda: len(page.got) == 5)
        assert [json.loads(text)["number"] for text in page.got] == list(range(5))
        await asyncio.sleep(0.05)
        assert log.messages == []  # the bot is not ready for them
        await connection.connect()
        await eventually(lambda: len(log.messages) == 5)
        assert log.messages == [{"answer": number} for number in range(5)]


async def test_messages_that_find_no_channel_are_bounded() -> None:
    connection = SmallWebRTCConnection()
    for number in range(300):
        connection.send_app_message(number)
    assert connection.dropped_messages == 300 - messages.MAX_QUEUED_MESSAGES
    await connection.disconnect()
    connection.send_app_message("late")
    assert connection.dropped_messages == 301 - messages.MAX_QUEUED_MESSAGES


async def test_nonsense_from_the_page_is_counted_and_dropped() -> None:
    async with call() as (connection, page, log):
        await connection.connect()
        await eventually(lambda: page.channel.readyState == "open")
        for text in ("{", "[" * 60000, "pi"):
            page.channel.send(text)
        page.channel.send(b"\x00\xff")
        page.channel.send('{"ok": true}')
        await eventually(lambda: log.messages)
        assert log.messages == [{"ok": True}]
        assert connection.dropped_messages == 3


async def test_a_message_that_is_not_json_is_refused_where_it_is_sent() -> None:
    connection = SmallWebRTCConnection()
    with pytest.raises(ProtocolError):
        connection.send_app_message(object())
    await connection.disconnect()


async def test_the_page_reports_how_long_sound_takes_to_the_ear() -> None:
    async with call() as (connection, page, _log):
        assert connection.listener_delay() == pytest.approx(0.060)
        await eventually(lambda: page.channel.readyState == "open")
        report = {"type": "playout", "jitter_buffer_ms": 30, "round_trip_ms": 40}
        page.channel.send(json.dumps({"type": "signalling", "message": report}))
        await eventually(lambda: connection.listener_delay() != pytest.approx(0.060))
        assert connection.listener_delay() == pytest.approx(0.050)


async def test_we_can_ask_for_a_further_offer() -> None:
    async with call() as (connection, page, _log):
        connection.ask_to_renegotiate()
        await eventually(lambda: page.got)
        assert json.loads(page.got[0]) == {"type": "signalling", "message": {"type": "renegotiate"}}


async def test_an_event_that_does_not_exist_is_named() -> None:
    connection = SmallWebRTCConnection()
    with pytest.raises(UsageError, match="conected"):
        connection.event_handler("conected")
    await connection.disconnect()
