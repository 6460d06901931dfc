"""Offers of browsers, apps and devices (`offers/`), answered section by section (RFC 8829 §5.3.1)."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest
from eventually import eventually
from webrtc_page import Log, Page, call

from runner.errors import OfferError
from runner.transports.webrtc import SmallWebRTCConnection
from runner.transports.webrtc.signaling.candidates import LeftAside
from runner.transports.webrtc.signaling.offer import check_offer
from runner.transports.webrtc.tracks import OutboundAudioTrack

OFFERS = Path(__file__).parent / "offers"

EXPECTED: dict[str, list[str]] = {
    "aiortc": ["audio sendrecv", "application"],
    "chromium": ["audio sendrecv", "video inactive", "application"],
    "firefox": ["audio sendrecv", "video inactive", "application"],
    "safari": ["audio sendrecv", "video inactive", "application"],
    "android": ["audio sendrecv", "video rejected", "video rejected", "application"],
    "esp32": ["audio sendrecv", "application"],
    "pion": ["audio sendrecv", "application"],
    "gstreamer": ["video rejected", "audio sendrecv", "application"],
}


def read(name: str) -> str:
    return (OFFERS / f"{name}.sdp").read_bytes().decode()


def sections(sdp: str) -> list[str]:
    return ["m=" + part for part in re.split(r"^m=", sdp, flags=re.MULTILINE)[1:]]


def attribute(part: str, name: str) -> str:
    found = re.search(rf"^a={name}:(.*?)\r?$", part, re.MULTILINE)
    return found[1] if found else ""


def shape(part: str) -> str:
    kind, port = part[2:].split(" ")[:2]
    if port == "0":
        return f"{kind} rejected"
    way = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\r?$", part, re.MULTILINE)
    return f"{kind} {way[1]}" if way and kind != "application" else kind


async def answer_to(offer: str) -> str:
    connection = SmallWebRTCConnection(peer_is_local=True)
    try:
        await connection.initialize(offer, "offer")
        return connection.get_answer()["sdp"]
    finally:
        await connection.disconnect()
        await connection.events.aclose()


def assert_is_an_answer(answer: str, offer: str) -> None:
    """Holds for every answer: sections in order, mids kept, in BUNDLE only what is carried."""
    offered, answered = sections(offer), sections(answer)
    assert len(answered) == len(offered)
    for ours, theirs in zip(answered, offered, strict=True):
        assert ours.split(" ")[0] == theirs.split(" ")[0]
        assert ours.split(" ")[2] == theirs.split(" ")[2]
        assert attribute(ours, "mid") == attribute(theirs, "mid")
    carried = [attribute(part, "mid") for part in answered if "rejected" not in shape(part)]
    group = re.search(r"^a=group:BUNDLE (.*?)\r?$", answer, re.MULTILINE)
    if "a=group:BUNDLE" in offer:
        assert group is not None
        assert sorted(group[1].split()) == sorted(carried)
    else:
        assert group is None


@pytest.mark.parametrize("name", EXPECTED)
async def test_each_section_of_a_peers_offer_is_answered(name: str) -> None:
    offer = read(name)
    answer = await answer_to(offer)
    assert [shape(part) for part in sections(answer)] == EXPECTED[name]
    assert_is_an_answer(answer, offer)


def test_every_recorded_offer_has_an_expected_answer() -> None:
    assert {path.stem for path in OFFERS.glob("*.sdp")} == set(EXPECTED)


def test_useless_candidates_of_a_device_are_counted() -> None:
    offer = check_offer(read("esp32"), "offer")
    assert [candidate.host for candidate in offer.candidates] == ["192.0.2.9"]
    assert offer.left_aside == {LeftAside.USELESS: 2}


async def test_useless_candidates_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await answer_to(read("esp32"))
    (line,) = [record.getMessage() for record in caplog.records if "ICE candidates" in record.getMessage()]
    assert "2 that name no address" in line


async def test_the_usual_candidates_of_a_browser_are_not_worth_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        await answer_to(read("chromium"))
    assert not [record for record in caplog.records if "candidate" in record.getMessage()]


# ------------------------------------------------------------------ variations of one offer

CHROMIUM = read("chromium")
AUDIO, VIDEO, DATA = sections(CHROMIUM)
HEAD = CHROMIUM[: CHROMIUM.index("m=")]


def offer_of(*parts: str, bundle: str = "") -> str:
    mids = bundle or " ".join(attribute(part, "mid") for part in parts)
    return HEAD.replace("BUNDLE 0 1 2", f"BUNDLE {mids}") + "".join(parts)


def renamed(part: str, mid: str) -> str:
    return re.sub(r"^a=mid:.*?\r$", f"a=mid:{mid}\r", part, flags=re.MULTILINE)


STOPPED_AUDIO = re.sub(r"^m=audio \d+", "m=audio 0", AUDIO)
NO_OPUS = AUDIO.replace("opus/48000/2", "G722/16000").replace("a=rtpmap:63 red/48000/2\r\n", "")

VARIATIONS: dict[str, tuple[str, list[str]]] = {
    "a stopped video": (
        offer_of(AUDIO, re.sub(r"^m=video \d+", "m=video 0", VIDEO), DATA, bundle="0 2"),
        ["audio sendrecv", "video rejected", "application"],
    ),
    "VP9 alone": (
        offer_of(AUDIO, VIDEO.replace("VP8/90000", "VP9/90000"), DATA),
        ["audio sendrecv", "video rejected", "application"],
    ),
    "a first audio that was stopped": (
        offer_of(STOPPED_AUDIO, renamed(AUDIO, "5"), DATA, bundle="5 2"),
        ["audio rejected", "audio sendrecv", "application"],
    ),
    "a first audio without Opus": (
        offer_of(NO_OPUS, renamed(AUDIO, "5"), DATA),
        ["audio rejected", "audio sendrecv", "application"],
    ),
    "a second data section": (
        offer_of(AUDIO, DATA, renamed(DATA, "7")),
        ["audio sendrecv", "application", "application rejected"],
    ),
    "text (T.140)": (
        offer_of(AUDIO, "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:t\r\na=rtpmap:98 t140/1000\r\n", DATA),
        ["audio sendrecv", "text rejected", "application"],
    ),
    "an image (T.38)": (
        offer_of(AUDIO, "m=image 9 udptl t38\r\na=mid:i\r\n"),
        ["audio sendrecv", "image rejected"],
    ),
    "data that is not bundled": (
        offer_of(AUDIO, DATA, bundle="0"),
        ["audio sendrecv", "application rejected"],
    ),
    "no bundle": (
        offer_of(AUDIO, DATA).replace("a=group:BUNDLE 0 2\r\n", ""),
        ["audio sendrecv", "application rejected"],
    ),
    "no mids": (re.sub(r"a=(mid|group):.*?\r\n", "", offer_of(AUDIO)), ["audio sendrecv"]),
    "a group with an unknown mid": (offer_of(AUDIO, DATA, bundle="0 2 9"), ["audio sendrecv", "application"]),
    "data that inherits the bundle's transport": (
        offer_of(AUDIO, re.sub(r"a=(ice-ufrag|ice-pwd|fingerprint|setup|candidate):.*?\r\n", "", DATA)),
        ["audio sendrecv", "application"],
    ),
    "unencrypted video": (
        offer_of(AUDIO, VIDEO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")),
        ["audio sendrecv", "video rejected"],
    ),
    "audio on hold": (
        offer_of(AUDIO.replace("a=sendrecv", "a=inactive"), DATA),
        ["audio inactive", "application"],
    ),
    "audio that only listens": (
        offer_of(AUDIO.replace("a=sendrecv", "a=recvonly"), DATA),
        ["audio sendonly", "application"],
    ),
}


@pytest.mark.parametrize(("offer", "expected"), VARIATIONS.values(), ids=VARIATIONS.keys())
async def test_a_section_that_cannot_be_carried_does_not_end_the_call(
    offer: str, expected: list[str]
) -> None:
    answer = await answer_to(offer)
    assert [shape(part) for part in sections(answer)] == expected
    assert_is_an_answer(answer, offer)


async def test_an_offer_without_audio_that_can_be_carried_is_refused_with_the_reason() -> None:
    with pytest.raises(OfferError, match="cannot be carried: it lacks the Opus codec"):
        await answer_to(offer_of(NO_OPUS, DATA))


async def test_a_rejected_section_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await answer_to(VARIATIONS["VP9 alone"][0])
    lines = [record.getMessage() for record in caplog.records if "port 0" in record.getMessage()]
    assert len(lines) == 1
    assert "video section 1: it lacks the VP8 codec" in lines[0]


async def test_a_rejected_first_audio_does_not_keep_the_second_from_connecting() -> None:
    page, connection = Page(), SmallWebRTCConnection(peer_is_local=True)
    log = Log(connection)
    heard: list[bytes] = []
    try:
        offer = (await page.offer())["sdp"]
        audio, *others = sections(offer)
        stopped = renamed(re.sub(r"^m=audio \d+", "m=audio 0", audio), "old")
        await connection.initialize(offer[: offer.index("m=")] + stopped + audio + "".join(others), "offer")
        await connection.connect()
        connection.receive_audio(16000, heard.append)
        answer = connection.get_answer()
        rejected, *carried = sections(answer["sdp"])
        assert shape(rejected) == "audio rejected"
        head = answer["sdp"][: answer["sdp"].index("m=")]
        await page.take({"sdp": head + "".join(carried), "type": "answer"})
        await eventually(lambda: "connected" in log.names and heard)
    finally:
        await connection.disconnect()
        await connection.events.aclose()
        await page.aclose()


async def test_a_call_on_hold_stays_connected_and_is_sent_nothing() -> None:
    async with call() as (connection, page, log):
        track = OutboundAudioTrack(24000)
        connection.send_audio(track)
        await connection.connect()
        await eventually(lambda: "connected" in log.names)
        peer = connection._peer
        assert peer is not None
        await eventually(lambda: peer.outbound.packets > 10)
        transceiver = page.pc.getTransceivers()[0]
        transceiver.direction = "inactive"
        await connection.renegotiate(**await page.offer())
        await page.take(connection.get_answer())
        assert shape(sections(connection.get_answer()["sdp"])[0]) == "audio inactive"
        sent = peer.outbound.packets
        for _ in range(10):
            await track.write(bytes(960))  # the bot is not blocked: its sound is dropped as it becomes due
        assert peer.outbound.packets == sent
        transceiver.direction = "sendrecv"
        await connection.renegotiate(**await page.offer())
        await page.take(connection.get_answer())
        await eventually(lambda: peer.outbound.packets > sent + 5)
        assert log.names == ["connected"]


async def test_answers_are_made_within_the_time_of_one_call() -> None:
    """All devices at once: nothing of one offer stays for the next."""
    answers = await asyncio.gather(*(answer_to(read(name)) for name in EXPECTED))
    for name, answer in zip(EXPECTED, answers, strict=True):
        assert [shape(part) for part in sections(answer)] == EXPECTED[name]
