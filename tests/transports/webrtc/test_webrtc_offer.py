"""Which offers and candidates pass, and the one sentence for each that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import OfferError
from runner.transports.webrtc.signaling.candidates import (
    MAX_CANDIDATES,
    Candidate,
    CandidatePolicy,
    LeftAside,
    parse_candidate,
)
from runner.transports.webrtc.signaling.offer import CheckedOffer, check_offer, check_trickled

OFFERS = Path(__file__).parent / "offers"
CHROMIUM = (OFFERS / "chromium.sdp").read_bytes().decode()
AIORTC = (OFFERS / "aiortc.sdp").read_bytes().decode()
LOCAL = CandidatePolicy(peer_is_local=True)
PUBLIC = CandidatePolicy(public=True)


def host(address: str, *, port: int = 50000, transport: str = "udp", component: int = 1) -> str:
    return f"candidate:1 {component} {transport} 2122260223 {address} {port} typ host generation 0"


# ------------------------------------------------------------------ offers


@pytest.mark.parametrize("sdp", [CHROMIUM, AIORTC, CHROMIUM.replace("\r\n", "\n")])
def test_a_real_offer_passes(sdp: str) -> None:
    offer = check_offer(sdp, "offer")
    assert offer.bundle_mid == "0"
    assert offer.mids[0] == "0"
    assert offer.ufrag in sdp
    assert {candidate.host for candidate in offer.candidates} == {"192.0.2.2", "fd00::2"}
    assert "a=candidate" not in offer.sdp
    assert "a=end-of-candidates" not in offer.sdp


def test_candidates_of_bundled_sections_and_tcp_are_left_aside() -> None:
    offer = check_offer(CHROMIUM, "offer")
    assert CHROMIUM.count("a=candidate") == 12
    assert len(offer.candidates) == 2
    assert offer.left_aside == {LeftAside.BUNDLED: 8, LeftAside.TCP: 2}


def without(name: str) -> str:
    return "".join(line for line in CHROMIUM.splitlines(True) if not line.startswith(f"a={name}"))


AUDIO_ONLY = CHROMIUM[: CHROMIUM.index("m=video")].replace("BUNDLE 0 1 2", "BUNDLE 0")

REFUSED = {
    "empty": ("", "begins with v=0"),
    "no text": (None, "begins with v=0"),
    "garbage": ("garbage", "does not begin with v=0"),
    "only v=0": ("v=0\r\n", "no audio"),
    "NULs": (CHROMIUM + "\0\0", "control characters"),
    "a lone surrogate": (CHROMIUM + "a=x:\ud800\r\n", "control characters"),
    "over 64 KiB": (CHROMIUM + "a=x:" + "y" * 65536 + "\r\n", "larger than 64 KiB"),
    "over 64 KiB in UTF-8": (CHROMIUM + "a=x:" + "ü" * 32000 + "\r\n", "larger than 64 KiB"),
    "2001 lines": (CHROMIUM + "a=x\r\n" * 2001, "more than 2000"),
    "500 media sections": (CHROMIUM + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 500, "more than 8 media"),
    "a malformed media line": (CHROMIUM + "m=audio\r\n", "malformed"),
    "only audio that was stopped": (
        AUDIO_ONLY.replace("m=audio 42054", "m=audio 0"),
        "stopped by the caller",
    ),
    "no audio": (AUDIO_ONLY.replace("m=audio", "m=video"), "no audio"),
    "no Opus": (AUDIO_ONLY.replace("opus/48000/2", "vorbis/48000/2"), "Opus"),
    "no ufrag": (without("ice-ufrag"), "ice-ufrag"),
    "no password": (without("ice-pwd"), "ice-pwd"),
    "no fingerprint": (without("fingerprint"), "fingerprint"),
    "a weak fingerprint only": (CHROMIUM.replace("fingerprint:sha-256", "fingerprint:sha-1"), "sha-256"),
    "a broken fingerprint": (CHROMIUM.replace("fingerprint:sha-256 ", "fingerprint:sha-256 xx"), "malformed"),
    "no setup": (without("setup"), "a=setup"),
    "no rtcp-mux": (without("rtcp-mux"), "rtcp-mux"),
    "the same mid twice": (CHROMIUM.replace("a=mid:1", "a=mid:0"), "a=mid"),
}


@pytest.mark.parametrize(("sdp", "said"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.faults(24)
def test_a_bad_offer_is_refused_with_a_sentence(sdp: object, said: str) -> None:
    with pytest.raises(OfferError, match=said):
        check_offer(sdp, "offer")


@pytest.mark.parametrize("kind", ["answer", "pranswer", "", None, 7, {"a": 1}])
def test_only_an_offer_is_an_offer(kind: object) -> None:
    with pytest.raises(OfferError, match='type must be "offer"'):
        check_offer(CHROMIUM, kind)


def test_foreign_text_in_a_sentence_is_short() -> None:
    with pytest.raises(OfferError) as caught:
        check_offer(CHROMIUM + "m=" + "x" * 10000 + "\r\n", "offer")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly", "inactive"])
def test_audio_may_go_any_way(direction: str) -> None:
    offer = check_offer(AUDIO_ONLY.replace("a=sendrecv", f"a={direction}"), "offer")
    assert offer.wants_audio is (direction in ("sendrecv", "recvonly"))


def test_more_candidates_than_are_checked_are_left_aside() -> None:
    many = "".join(f"a={host('10.0.0.1', port=port)}\r\n" for port in range(1000, 1200))
    offer = check_offer(AUDIO_ONLY + many, "offer")
    assert len(offer.candidates) == MAX_CANDIDATES
    assert offer.left_aside[LeftAside.SURPLUS] == 2 + 200 - MAX_CANDIDATES


# ------------------------------------------------------------------ candidates


@pytest.mark.parametrize(
    "address", ["10.0.0.2", "192.168.1.7", "172.20.0.3", "100.64.1.1", "fd00::2", "192.0.2.2"]
)
def test_a_private_address_is_taken(address: str) -> None:
    found = parse_candidate(host(address), CandidatePolicy())
    assert found == Candidate(foundation="1", priority=2122260223, host=address, port=50000, type="host")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (host("1f0a5e0c-5d2a-4e0e-8a3e-0123456789ab.local"), LeftAside.HIDDEN),
        (host("10.0.0.2", transport="tcp", port=9), LeftAside.TCP),
        (host("10.0.0.2", transport="tcp", port=0), LeftAside.TCP),
        (host("10.0.0.2", component=2), LeftAside.RTCP),
        (host("127.0.0.1"), LeftAside.ELSEWHERE),
        (host("::1"), LeftAside.ELSEWHERE),
        (host("8.8.8.8"), LeftAside.PUBLIC),
        (host("2001:4860:4860::8888"), LeftAside.PUBLIC),
        (host("fe80::1"), LeftAside.ELSEWHERE),
        (host("fe80::1%eth0"), LeftAside.ELSEWHERE),
        (host("169.254.1.1"), LeftAside.ELSEWHERE),
        (host("evil.example"), LeftAside.USELESS),
        (host("mybox.local"), LeftAside.USELESS),
        (host("localhost"), LeftAside.USELESS),
        (host("10.0.0.2", port=0), LeftAside.USELESS),
        (host("10.0.0.2", port=65536), LeftAside.USELESS),
        (host("10.0.0.256"), LeftAside.USELESS),
        (host("0.0.0.0"), LeftAside.USELESS),
        (host("::"), LeftAside.USELESS),
        (host("224.0.0.1"), LeftAside.USELESS),
        (host("ff02::fb"), LeftAside.USELESS),
        (host("255.255.255.255"), LeftAside.USELESS),
        (host("240.0.0.1"), LeftAside.USELESS),
        (host("10.0.0.2").replace("typ host", "typ evil"), LeftAside.USELESS),
        (host("10.0.0.2").replace("2122260223", "9999999999"), LeftAside.USELESS),
        (host("10.0.0.2").replace("2122260223", "0"), LeftAside.USELESS),
        (host("١٠.0.0.2"), LeftAside.USELESS),
        (host("10.0.0.2").replace("candidate:1", "candidate:"), LeftAside.MALFORMED),
        (host("10.0.0.2") + " x" * 1000, LeftAside.MALFORMED),
        ("", LeftAside.MALFORMED),
        ("candidate:", LeftAside.MALFORMED),
        ("garbage", LeftAside.MALFORMED),
    ],
)
def test_a_candidate_of_no_use_is_left_aside_and_the_call_goes_on(line: str, why: LeftAside) -> None:
    policy = CandidatePolicy(public=why is not LeftAside.PUBLIC)
    assert parse_candidate(line, policy) is why
    offer = check_offer(AUDIO_ONLY + f"a={line}\r\n", "offer", policy)
    assert len(offer.candidates) == 2


def test_loopback_is_taken_from_this_machine_only() -> None:
    assert isinstance(parse_candidate(host("127.0.0.1"), LOCAL), Candidate)
    assert parse_candidate(host("::ffff:127.0.0.1"), CandidatePolicy()) is LeftAside.ELSEWHERE


def test_public_addresses_are_taken_where_a_stun_server_was_asked_for() -> None:
    assert isinstance(parse_candidate(host("8.8.8.8"), PUBLIC), Candidate)


@pytest.fixture(scope="module")
def offer() -> CheckedOffer:
    return check_offer(CHROMIUM, "offer")


def test_a_trickled_candidate_names_its_media_section(offer: CheckedOffer) -> None:
    assert isinstance(check_trickled(host("10.0.0.2"), "0", None, offer, LOCAL), Candidate)
    assert isinstance(check_trickled(host("10.0.0.2"), None, 0, offer, LOCAL), Candidate)
    assert check_trickled(host("10.0.0.2"), "2", None, offer, LOCAL) is LeftAside.BUNDLED


@pytest.mark.parametrize(
    ("mid", "index"), [("9", 0), (None, None), (None, 3), (None, -1), (None, "0"), ({}, 0)]
)
def test_a_candidate_of_an_unknown_section_is_refused(
    mid: object, index: object, offer: CheckedOffer
) -> None:
    with pytest.raises(OfferError, match="unknown media section"):
        check_trickled(host("10.0.0.2"), mid, index, offer, LOCAL)


def test_a_candidate_is_a_text(offer: CheckedOffer) -> None:
    with pytest.raises(OfferError, match="text"):
        check_trickled({"candidate": 1}, "0", 0, offer, LOCAL)


# ------------------------------------------------------------------ fuzz


@st.composite
def mutated_offers(draw: st.DrawFn) -> str:
    lines = draw(st.sampled_from([CHROMIUM, AIORTC])).splitlines(True)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["drop", "double", "swap", "cut", "insert", "change"]))
        if kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "double":
            lines[at:at] = [lines[at]] * draw(st.integers(1, 40))
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "cut":
            lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
        elif kind == "insert":
            lines.insert(at, draw(st.text(max_size=60)) + "\r\n")
        else:
            where = draw(st.integers(0, len(lines[at]) - 1)) if lines[at] else 0
            lines[at] = lines[at][:where] + draw(st.characters()) + lines[at][where + 1 :]
    return "".join(lines)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(mutated_offers())
@pytest.mark.faults(24)
def test_a_mutated_offer_passes_or_is_refused(sdp: str) -> None:
    try:
        offer = check_offer(sdp, "offer", LOCAL)
    except OfferError:
        return
    assert len(offer.candidates) <= 64
    assert offer.bundle_mid in offer.mids


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.one_of(st.none(), st.integers(), st.binary(), st.text(), st.text().map("v=0\r\n".__add__)))
def test_anything_at_all_passes_or_is_refused(sdp: object) -> None:
    with pytest.raises(OfferError):
        check_offer(sdp, "offer")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="candidate:1 udptcyhosrfl.x0248f%-", max_size=80).map("candidate:".__add__))
def test_any_candidate_line_passes_or_is_refused(line: str) -> None:
    found = parse_candidate(line, PUBLIC)
    assert isinstance(found, LeftAside) or 1 <= found.port <= 65535
