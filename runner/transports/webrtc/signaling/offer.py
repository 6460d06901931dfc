"""Checks a WebRTC offer before aiortc sees it. Pure: text in, `CheckedOffer` or `OfferError` out.

aiortc takes "", "garbage" and offers without a fingerprint, and stalls the loop for seconds over thousands
of candidates (measured, `reference/RELIABILITY.md` §1 and `PROTOCOLS.md` §6). What passes here has the shape
that every browser sends, and was read in one pass over at most 64 KiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from runner.errors import OfferError
from runner.transports.webrtc.signaling.candidates import (
    MAX_CANDIDATES,
    Candidate,
    CandidatePolicy,
    parse_candidate,
    shown,
)

MAX_OFFER_BYTES = 64 * 1024
MAX_MEDIA_LINES = 8
MAX_LINES = 2000

_MEDIA_LINE = re.compile(r"m=(audio|video|application) (\d{1,5}) ([A-Z/]{3,24})((?: [^ ]+)+)", re.ASCII)
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)  # RFC 8839 §5.4
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
_FINGERPRINT = re.compile(r"(sha-\d{1,3}) ((?:[0-9A-F]{2}:){19,63}[0-9A-F]{2})", re.ASCII | re.IGNORECASE)
_FINGERPRINT_HASHES = ("sha-256", "sha-384", "sha-512")
_OPUS = re.compile(r"\d{1,3} opus/48000(?:/2)?", re.ASCII | re.IGNORECASE)
_OPUS_MAP = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000(?:/2)?", re.ASCII | re.IGNORECASE)
_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_MID = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,32}", re.ASCII)  # RFC 8859 token
_SETUP = ("actpass", "active", "passive")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_FOR_ICE_ALONE = ("candidate", "end-of-candidates")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOffer:
    """What the check found.

    Attributes:
        sdp: the offer without its candidates and without end-of-candidates. aiortc would take the
            candidates of the last media section for the whole bundle, and gives up at once when told
            that no more come; we add them ourselves and keep our own deadline.
        candidates: the usable ones, in order.
        left_aside: how many candidates were legal but of no use.
        ufrag: names this ICE generation; another one in a later offer is an ICE restart.
        mids: the media sections' names, in order.
        bundle_mid: the section whose transport carries the whole bundle.
        has_vp8: whether the first video section that is there can carry VP8.
        wants_dtx: the far end prefers that nothing is sent during silence (RFC 7587 §6.1, usedtx).
    """

    sdp: str
    candidates: tuple[Candidate, ...]
    left_aside: int
    ufrag: str
    mids: tuple[str, ...]
    bundle_mid: str
    wants_dtx: bool = False
    has_vp8: bool = False


@dataclass(slots=True)
class _Section:
    """The attributes of the session (kind "") or of one media section."""

    kind: str
    port: int = 1
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def last(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[-1] if values else None


def check_offer(sdp: object, type_: object, policy: CandidatePolicy | None = None) -> CheckedOffer:
    """Raises `OfferError`, whose sentence goes to the client."""
    if type_ != "offer":
        raise OfferError(f'type must be "offer", not {shown(str(type_))}')
    session, media, kept = _read_lines(_text(sdp))
    _check_media_lines(media)
    for section in media:
        _check_transport(session, section)
    mids = _mids(media)
    bundle_mid = _bundle_mid(session, media, mids)
    candidates, left_aside = _candidates(media, bundle_mid, policy or CandidatePolicy())
    return CheckedOffer(
        sdp=kept,
        candidates=candidates,
        left_aside=left_aside,
        ufrag=_inherited(session, media[0], "ice-ufrag"),
        mids=mids,
        bundle_mid=bundle_mid,
        has_vp8=_has_vp8(media),
        wants_dtx=_wants_dtx(next(section for section in media if section.kind == "audio")),
    )


def with_opus_format(answer: str) -> str:
    """Our answer with what we like to get (RFC 7587 §6.1): forward error correction, nothing during silence.

    aiortc's own says neither. The extension for audio levels goes, for we neither send nor read them.
    """
    lines: list[str] = []
    for line in answer.splitlines():
        if line.startswith("a=extmap:") and line.endswith(_AUDIO_LEVEL):
            continue
        lines.append(line)
        if (opus := _OPUS_MAP.fullmatch(line)) is not None:
            lines.append(f"a=fmtp:{opus[1]} minptime=10;useinbandfec=1;usedtx=1")
    return "\r\n".join(lines) + "\r\n"


def _has_vp8(media: list[_Section]) -> bool:
    video = next((section for section in media if section.kind == "video" and section.port), None)
    return video is not None and any(
        value.lower().endswith(" vp8/90000") for value in video.attributes.get("rtpmap", [])
    )


def _wants_dtx(audio: _Section) -> bool:
    opus = {value.split(" ")[0] for value in audio.attributes.get("rtpmap", []) if _OPUS.fullmatch(value)}
    formats = (value.partition(" ") for value in audio.attributes.get("fmtp", []))
    return any(kind in opus and "usedtx=1" in re.split(r"[;\s]+", told) for kind, _, told in formats)


def check_trickled(
    candidate: object, sdp_mid: object, sdp_mline_index: object, offer: CheckedOffer, policy: CandidatePolicy
) -> Candidate | None:
    """A candidate that came after the offer: usable, or None. Raises `OfferError`."""
    if not isinstance(candidate, str):
        raise OfferError("candidate must be a text")
    mid = sdp_mid
    if mid is None and isinstance(sdp_mline_index, int) and 0 <= sdp_mline_index < len(offer.mids):
        mid = offer.mids[sdp_mline_index]
    if mid not in offer.mids:
        raise OfferError(f"the ICE candidate belongs to the unknown media section {shown(str(sdp_mid))}")
    parsed = parse_candidate(candidate, policy)
    return parsed if mid == offer.bundle_mid else None


def _text(sdp: object) -> str:
    if not isinstance(sdp, str) or not sdp:
        raise OfferError("sdp must be a text that begins with v=0")
    if len(sdp) > MAX_OFFER_BYTES or len(sdp.encode("utf-8", "surrogatepass")) > MAX_OFFER_BYTES:
        raise OfferError(f"the offer is larger than {MAX_OFFER_BYTES // 1024} KiB")
    if not sdp.startswith(("v=0\r\n", "v=0\n")):
        raise OfferError("the offer does not begin with v=0")
    if not sdp.replace("\r\n", "\n").replace("\n", "").isprintable():
        raise OfferError("the offer has control characters in it")
    return sdp


def _read_lines(sdp: str) -> tuple[_Section, list[_Section], str]:
    lines = [line for line in sdp.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > MAX_LINES:
        raise OfferError(f"the offer has {len(lines)} lines, more than {MAX_LINES}")
    session, media, kept = _Section(""), list[_Section](), list[str]()
    for line in lines:
        if line.startswith("m="):
            media.append(_media_section(line, len(media)))
        name, _, value = line[2:].partition(":")
        if line.startswith("a="):
            (media[-1] if media else session).attributes.setdefault(name, []).append(value)
        if not (line.startswith("a=") and name in _FOR_ICE_ALONE):
            kept.append(line)
    return session, media, "\r\n".join(kept) + "\r\n"


def _media_section(line: str, number: int) -> _Section:
    if number >= MAX_MEDIA_LINES:
        raise OfferError(f"the offer has more than {MAX_MEDIA_LINES} media sections")
    match = _MEDIA_LINE.fullmatch(line)
    if match is None:
        raise OfferError(f"media line {shown(line)} is malformed or of an unknown kind")
    return _Section(match[1], int(match[2]))


def _check_media_lines(media: list[_Section]) -> None:
    audio = next((section for section in media if section.kind == "audio"), None)
    if audio is None:
        raise OfferError("the offer has no audio (m=audio)")
    directions = [name for name in _DIRECTIONS if name in audio.attributes]
    if directions == ["inactive"] or audio.port == 0:
        raise OfferError("the offer's audio is inactive: it must be sendrecv, sendonly or recvonly")
    if not any(_OPUS.fullmatch(value) for value in audio.attributes.get("rtpmap", [])):
        raise OfferError("the offer's audio lacks the Opus codec")
    if sum(section.kind == "application" for section in media) > 1:
        raise OfferError("the offer has more than one data section (m=application)")


def _check_transport(session: _Section, section: _Section) -> None:
    if not _UFRAG.fullmatch(_inherited(session, section, "ice-ufrag")):
        raise OfferError("the offer lacks a well-formed ice-ufrag")
    if not _PASSWORD.fullmatch(_inherited(session, section, "ice-pwd")):
        raise OfferError("the offer lacks a well-formed ice-pwd")
    if _inherited(session, section, "setup") not in _SETUP:
        raise OfferError("the offer lacks a=setup (actpass, active or passive)")
    if section.kind != "application" and "rtcp-mux" not in section.attributes:
        raise OfferError(f"the offer's {section.kind} lacks a=rtcp-mux")
    _check_fingerprints(session.attributes.get("fingerprint", []) + section.attributes.get("fingerprint", []))


def _check_fingerprints(values: list[str]) -> None:
    matches = [_FINGERPRINT.fullmatch(value.strip()) for value in values]
    if not all(matches):
        raise OfferError("the offer has a malformed DTLS fingerprint")
    if not any(match and match[1].lower() in _FINGERPRINT_HASHES for match in matches):
        raise OfferError("the offer lacks a DTLS fingerprint (sha-256 or stronger)")


def _inherited(session: _Section, section: _Section, name: str) -> str:
    value = section.last(name)
    return value if value is not None else session.last(name) or ""


def _mids(media: list[_Section]) -> tuple[str, ...]:
    mids = tuple(section.last("mid") or "" for section in media)
    if not all(_MID.fullmatch(mid) for mid in mids) or len(set(mids)) != len(mids):
        raise OfferError("each media section of the offer needs an a=mid of its own")
    return mids


def _bundle_mid(session: _Section, media: list[_Section], mids: tuple[str, ...]) -> str:
    groups = [value.split() for value in session.attributes.get("group", [])]
    bundle = next((group[1:] for group in groups if group and group[0] == "BUNDLE"), [])
    in_use = [mid for mid, section in zip(mids, media, strict=True) if section.port]
    if not set(bundle) <= set(mids) or (len(in_use) > 1 and not set(in_use) <= set(bundle)):
        raise OfferError("the offer's media sections are not in one BUNDLE group")
    return bundle[0] if bundle else mids[0]


def _candidates(
    media: list[_Section], bundle_mid: str, policy: CandidatePolicy
) -> tuple[tuple[Candidate, ...], int]:
    lines = [
        (section.last("mid"), value) for section in media for value in section.attributes.get("candidate", [])
    ]
    if len(lines) > MAX_CANDIDATES:
        raise OfferError(f"the offer has {len(lines)} ICE candidates, more than {MAX_CANDIDATES}")
    parsed = [(mid, parse_candidate("candidate:" + line, policy)) for mid, line in lines]
    # The other sections' ports are closed as soon as the peer reads our bundled answer (RFC 9143 §7.3).
    usable = [candidate for mid, candidate in parsed if candidate is not None and mid == bundle_mid]
    return tuple(dict.fromkeys(usable)), len(parsed) - len(usable)
