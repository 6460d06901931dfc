"""Validates an SDP offer before aiortc sees it, and completes the answer afterwards. Pure.

aiortc accepts anything it can parse: a megabyte, a thousand media sections or candidates, host names; and it
fails completely if one section is unsupported. So each section is checked here (RFC 8829 §5.3.1): aiortc sees
only supported ones, and `complete_answer` adds the others to the answer, with port 0 and outside BUNDLE. An
offer is refused only if it is malformed or has no usable audio.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from runner.errors import OfferError
from runner.transports.webrtc.signaling.candidates import (
    MAX_CANDIDATES,
    Candidate,
    CandidatePolicy,
    LeftAside,
    parse_candidate,
    shown,
)

MAX_OFFER_BYTES = 64 * 1024
MAX_MEDIA_LINES = 8
MAX_LINES = 2000

_MEDIA_LINE = re.compile(r"m=([a-z]{1,16}) (\d{1,5})(?:/\d{1,5})? ([A-Za-z/]{3,32})((?: [^ ]+)+)", re.ASCII)
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)  # RFC 8839 §5.4
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
_FINGERPRINT = re.compile(r"(sha-\d{1,3}) ((?:[0-9A-F]{2}:){19,63}[0-9A-F]{2})", re.ASCII | re.IGNORECASE)
_FINGERPRINT_HASHES = ("sha-256", "sha-384", "sha-512")
_OPUS = re.compile(r"\d{1,3} opus/48000(?:/2)?", re.ASCII | re.IGNORECASE)
_OPUS_MAP = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000(?:/2)?", re.ASCII | re.IGNORECASE)
_VP8 = re.compile(r"\d{1,3} vp8/90000", re.ASCII | re.IGNORECASE)
_AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
_MID = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,32}", re.ASCII)  # RFC 8859 token
_SETUP = ("actpass", "active", "passive")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_FOR_ICE_ALONE = ("candidate", "end-of-candidates")
_SECURE_RTP = ("SAVPF", "SAVP")
_TRANSPORT = ("ice-ufrag", "ice-pwd", "setup", "fingerprint")


@dataclass(slots=True)
class Section:
    """One media section of an offer; with kind "" the session section.

    Attributes:
        media_line: as offered, without its line end.
        mid: its mid; generated if the offer has none.
        has_mid: whether the offer has one.
        rejected: why it is answered with port 0; "" if it is carried.
    """

    kind: str
    port: int = 1
    protocol: str = ""
    media_line: str = ""
    mid: str = ""
    has_mid: bool = False
    rejected: str = ""
    attributes: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def last(self, name: str) -> str | None:
        values = self.attributes.get(name)
        return values[-1] if values else None

    @property
    def direction(self) -> str:
        """As offered: sendrecv, sendonly, recvonly or inactive."""
        return next((name for name in _DIRECTIONS if name in self.attributes), "sendrecv")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOffer:
    """The result of the check.

    Attributes:
        sdp: the offer's accepted sections without candidates and end-of-candidates. aiortc would use the
            candidates of the last media section for the whole bundle, and would give up at end-of-candidates;
            botrun adds them itself and has its own timeout.
        candidates: the usable ones, in order.
        left_aside: candidates that are not used, per reason.
        ufrag: names this ICE generation; another one in a later offer is an ICE restart.
        sections: all sections of the offer, in order.
        bundle_mid: the section whose transport carries the whole bundle.
        is_bundled: whether that section is in a BUNDLE group.
        has_vp8: whether a video section is carried.
        wants_audio: whether the caller accepts sound; False while the call is on hold.
        wants_dtx: the caller prefers that nothing is sent during silence (RFC 7587 §6.1, usedtx).
    """

    sdp: str
    candidates: tuple[Candidate, ...]
    left_aside: Counter[LeftAside]
    ufrag: str
    sections: tuple[Section, ...]
    bundle_mid: str
    is_bundled: bool
    wants_audio: bool = True
    wants_dtx: bool = False
    has_vp8: bool = False

    @property
    def mids(self) -> tuple[str, ...]:
        """The media sections' names, in order."""
        return tuple(section.mid for section in self.sections)

    @property
    def rejected(self) -> list[str]:
        """A few words for each section that is answered with port 0."""
        return [f"{s.kind} section {i}: {s.rejected}" for i, s in enumerate(self.sections) if s.rejected]


def check_offer(sdp: object, type_: object, policy: CandidatePolicy | None = None) -> CheckedOffer:
    """Check an offer. Raises `OfferError` with a sentence for the client."""
    if type_ != "offer":
        raise OfferError(f'type must be "offer", not {shown(str(type_))}')
    session, media = _read_lines(_text(sdp))
    _name_sections(media)
    audio = _judge(session, media)
    bundle = _bundle(session, media, audio)
    carried = [section for section in media if not section.rejected]
    tagged = next(section for mid in bundle for section in carried if section.mid == mid)
    candidates, left_aside = _candidates(media, tagged.mid, policy or CandidatePolicy())
    return CheckedOffer(
        sdp=_carried_sdp(session, carried, tagged),
        candidates=candidates,
        left_aside=left_aside,
        ufrag=_inherited(session, tagged, "ice-ufrag"),
        sections=tuple(media),
        bundle_mid=tagged.mid,
        is_bundled=len(bundle) > 1 or any(audio.mid in group for group in _groups(session)),
        has_vp8=any(section.kind == "video" for section in carried),
        wants_audio=audio.direction in ("sendrecv", "recvonly"),
        wants_dtx=_wants_dtx(audio),
    )


def check_trickled(
    candidate: object, sdp_mid: object, sdp_mline_index: object, offer: CheckedOffer, policy: CandidatePolicy
) -> Candidate | LeftAside:
    """A candidate that came after the offer: usable, or why not. Raises `OfferError`."""
    if not isinstance(candidate, str):
        raise OfferError("candidate must be a text")
    mid = sdp_mid
    if mid is None and isinstance(sdp_mline_index, int) and 0 <= sdp_mline_index < len(offer.mids):
        mid = offer.mids[sdp_mline_index]
    if mid not in offer.mids:
        raise OfferError(f"the ICE candidate belongs to the unknown media section {shown(str(sdp_mid))}")
    parsed = parse_candidate(candidate, policy)
    return parsed if mid == offer.bundle_mid else LeftAside.BUNDLED


# ------------------------------------------------------------ the answer


def complete_answer(answer: str, offer: CheckedOffer) -> str:
    """Complete aiortc's answer for the whole offer: each section in its place, rejected ones with port 0 and
    outside BUNDLE (RFC 8829 §5.3.1, RFC 9143 §7.3)."""
    session, *sections = _split(_with_opus_format(answer.splitlines()))
    mids = {section.mid: section.has_mid for section in offer.sections}
    answered = {_mid_of(lines): lines for lines in sections}
    bundle = [offer.bundle_mid, *(mid for mid in answered if mid != offer.bundle_mid)]
    lines = [line for line in session if not line.startswith("a=group:BUNDLE")]
    if offer.is_bundled:
        lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
    for section in offer.sections:
        if section.rejected:
            lines += _rejection(section)
        else:
            found = answered[section.mid]
            lines += found if mids[section.mid] else [x for x in found if not x.startswith("a=mid:")]
    return "\r\n".join(lines) + "\r\n"


def _rejection(section: Section) -> list[str]:
    formats = section.media_line.split(" ", 3)[3]
    lines = [f"m={section.kind} 0 {section.protocol} {formats}", "c=IN IP4 0.0.0.0", "a=inactive"]
    return [*lines, f"a=mid:{section.mid}"] if section.has_mid else lines


def _split(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts


def _mid_of(lines: list[str]) -> str:
    return next((line[6:] for line in lines if line.startswith("a=mid:")), "")


def _with_opus_format(answer: list[str]) -> list[str]:
    """Request forward error correction and DTX (RFC 7587 §6.1), which aiortc does not.

    Removes the extension for audio levels, which botrun neither sends nor reads.
    """
    lines: list[str] = []
    for line in answer:
        if line.startswith("a=extmap:") and line.endswith(_AUDIO_LEVEL):
            continue
        lines.append(line)
        if (opus := _OPUS_MAP.fullmatch(line)) is not None:
            lines.append(f"a=fmtp:{opus[1]} minptime=10;useinbandfec=1;usedtx=1")
    return lines


# ------------------------------------------------------------ reading


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


def _read_lines(sdp: str) -> tuple[Section, list[Section]]:
    lines = [line for line in sdp.replace("\r\n", "\n").split("\n") if line]
    if len(lines) > MAX_LINES:
        raise OfferError(f"the offer has {len(lines)} lines, more than {MAX_LINES}")
    session, media = Section(""), list[Section]()
    for line in lines:
        if line.startswith("m="):
            media.append(_media_section(line, len(media)))
            continue
        part, (name, _, value) = media[-1] if media else session, line[2:].partition(":")
        if line.startswith("a="):
            part.attributes.setdefault(name, []).append(value)
        if not (line.startswith("a=") and name in _FOR_ICE_ALONE):
            part.lines.append(line)
    return session, media


def _media_section(line: str, number: int) -> Section:
    if number >= MAX_MEDIA_LINES:
        raise OfferError(f"the offer has more than {MAX_MEDIA_LINES} media sections")
    match = _MEDIA_LINE.fullmatch(line)
    if match is None:
        raise OfferError(f"media line {shown(line)} is malformed")
    return Section(match[1], int(match[2]), match[3], line)


def _name_sections(media: list[Section]) -> None:
    for number, section in enumerate(media):
        section.mid, section.has_mid = section.last("mid") or f"botrun{number}", "mid" in section.attributes
    mids = [section.mid for section in media]
    if not all(_MID.fullmatch(mid) for mid in mids) or len(set(mids)) != len(mids):
        raise OfferError("the media sections of the offer need different, well-formed a=mid")


# ------------------------------------------------------------ which sections are carried


def _judge(session: Section, media: list[Section]) -> Section:
    """Mark rejected sections; returns the call's audio section. Raises `OfferError` if there is none."""
    has_data = False
    for section in media:
        section.rejected = _fault(session, media, section)
        if section.kind == "application" and not section.rejected:
            section.rejected = "only one data section is carried" if has_data else ""
            has_data = True
    audios = [section for section in media if section.kind == "audio"]
    if not audios:
        raise OfferError("the offer has no audio (m=audio)")
    audio = next((section for section in audios if not section.rejected), None)
    if audio is None:
        raise OfferError(f"the offer's audio cannot be carried: {audios[0].rejected}")
    return audio


def _fault(session: Section, media: list[Section], section: Section) -> str:
    """Why a section cannot be carried; "" if it can."""
    if section.kind not in ("audio", "video", "application"):
        return "only audio, video and data are carried"
    if section.port == 0 and "bundle-only" not in section.attributes:  # RFC 9143 §7.1.2
        return "it was stopped by the caller (port 0)"
    if section.protocol.split("/")[-1] not in (("SCTP",) if section.kind == "application" else _SECURE_RTP):
        return f"protocol {section.protocol} is not carried"
    maps = section.attributes.get("rtpmap", [])
    if section.kind == "audio" and not any(_OPUS.fullmatch(value) for value in maps):
        return "it lacks the Opus codec"
    if section.kind == "video" and not any(_VP8.fullmatch(value) for value in maps):
        return "it lacks the VP8 codec"
    return _transport_fault(session, media, section)


def _transport_fault(session: Section, media: list[Section], section: Section) -> str:
    if section.kind != "application" and "rtcp-mux" not in section.attributes:
        return "it lacks a=rtcp-mux"
    tagged = _tagged(session, media, section)
    if not _UFRAG.fullmatch(_inherited(session, section, "ice-ufrag", tagged)):
        return "it lacks a well-formed ice-ufrag"
    if not _PASSWORD.fullmatch(_inherited(session, section, "ice-pwd", tagged)):
        return "it lacks a well-formed ice-pwd"
    if _inherited(session, section, "setup", tagged) not in _SETUP:
        return "it lacks a=setup (actpass, active or passive)"
    prints = [part.attributes.get("fingerprint", []) for part in (session, section, tagged)]
    matches = [_FINGERPRINT.fullmatch(value.strip()) for values in prints for value in values]
    if not all(matches):
        return "it has a malformed DTLS fingerprint"
    if not any(match and match[1].lower() in _FINGERPRINT_HASHES for match in matches):
        return "it lacks a DTLS fingerprint (sha-256 or stronger)"
    return ""


def _groups(session: Section) -> list[list[str]]:
    words = [value.split() for value in session.attributes.get("group", [])]
    return [group[1:] for group in words if group and group[0] == "BUNDLE"]


def _tagged(session: Section, media: list[Section], section: Section) -> Section:
    """The section whose transport a bundled one shares; it has the attributes that the latter omits."""
    group = next((group for group in _groups(session) if section.mid in group), [section.mid])
    return next((other for mid in group for other in media if other.mid == mid), section)


def _bundle(session: Section, media: list[Section], audio: Section) -> list[str]:
    """The mids that share the audio's transport; others are rejected, because a call has one transport."""
    group = next((group for group in _groups(session) if audio.mid in group), [audio.mid])
    for section in media:
        if not section.rejected and section.mid not in group:
            section.rejected = "it is not bundled with the audio"
    return group


def _inherited(session: Section, section: Section, name: str, tagged: Section | None = None) -> str:
    for part in (section, session, tagged or section):
        if (value := part.last(name)) is not None:
            return value
    return ""


def _carried_sdp(session: Section, carried: list[Section], tagged: Section) -> str:
    """The offer with only the accepted sections, each with its inherited attributes."""
    lines = [line for line in session.lines if not line.startswith("a=group:BUNDLE")]
    mids = [tagged.mid, *(section.mid for section in carried if section is not tagged)]
    lines.append(f"a=group:BUNDLE {' '.join(mids)}")
    for section in carried:
        port = section.port or 9
        lines.append(re.sub(r"^(m=[a-z]+) \d+(?:/\d+)?", rf"\1 {port}", section.media_line))
        lines += section.lines
        if not section.has_mid:
            lines.append(f"a=mid:{section.mid}")
        for name in _TRANSPORT:
            if name not in section.attributes and name not in session.attributes:
                lines += [f"a={name}:{value}" for value in tagged.attributes.get(name, [])]
    return "\r\n".join(lines) + "\r\n"


def _wants_dtx(audio: Section) -> bool:
    opus = {value.split(" ")[0] for value in audio.attributes.get("rtpmap", []) if _OPUS.fullmatch(value)}
    formats = (value.partition(" ") for value in audio.attributes.get("fmtp", []))
    return any(kind in opus and "usedtx=1" in re.split(r"[;\s]+", given) for kind, _, given in formats)


def _candidates(
    media: list[Section], bundle_mid: str, policy: CandidatePolicy
) -> tuple[tuple[Candidate, ...], Counter[LeftAside]]:
    usable, left_aside = dict[Candidate, None](), Counter[LeftAside]()
    for section in media:
        for line in section.attributes.get("candidate", []):
            # The other sections' ports close as soon as the peer reads our bundled answer (RFC 9143 §7.3).
            found = parse_candidate("candidate:" + line, policy)
            if section.mid != bundle_mid:
                left_aside[LeftAside.BUNDLED] += 1
            elif isinstance(found, LeftAside):
                left_aside[found] += 1
            elif len(usable) >= MAX_CANDIDATES and found not in usable:
                left_aside[LeftAside.SURPLUS] += 1
            else:
                usable[found] = None
    return tuple(usable), left_aside
