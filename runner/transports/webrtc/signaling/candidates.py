"""Parses an ICE candidate line and decides whether it is used. Pure; aiortc sees only used candidates.

aiortc and aioice send STUN requests to any address in a candidate, and accept host names, port 99999 and
unknown media without an error, so botrun parses candidates itself. Unusable ones are counted and ignored, and
the call
continues: other candidates may work, and the peer's own checks reveal its address anyway (a peer-reflexive
candidate, RFC 8445 §7.3.1.3).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

MAX_CANDIDATES = 64
MAX_CANDIDATE_CHARS = 1024

# RFC 8839 §5.1; extension pairs (raddr, rport, generation, ufrag …) may follow and are ignored.
_CANDIDATE = re.compile(
    r"(?:a=)?candidate:(?P<foundation>[A-Za-z0-9+/]{1,64}) (?P<component>\d{1,3}) "
    r"(?P<transport>[A-Za-z-]{2,10}) (?P<priority>\d{1,10}) (?P<host>[^ ]{1,255}) (?P<port>\d{1,5}) "
    r"typ (?P<type>[a-z]{1,10})(?: .*)?",
    re.ASCII,
)
# draft-ietf-mmusic-mdns-ice-candidates §3.1.1: the name is a version 4 UUID followed by ".local".
_MDNS_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local", re.ASCII | re.IGNORECASE)
_TYPES = ("host", "srflx", "prflx", "relay")


class LeftAside(StrEnum):
    """Why a candidate is not used."""

    BUNDLED = "of a section without a transport of its own"
    TCP = "over TCP"
    RTCP = "for RTCP alone"
    HIDDEN = "with a hidden address (mDNS)"
    ELSEWHERE = "of a network that is not reachable from here"
    PUBLIC = "of a public address (no STUN or TURN server is set)"
    SURPLUS = "beyond the most that are checked"
    USELESS = "that name no address of a machine"
    MALFORMED = "malformed"

    @property
    def is_usual(self) -> bool:
        """Whether browsers send such candidates with every offer."""
        return self not in (LeftAside.SURPLUS, LeftAside.USELESS, LeftAside.MALFORMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A UDP address of the peer that may be used."""

    foundation: str
    priority: int
    host: str
    port: int
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePolicy:
    """Which addresses to send to.

    Attributes:
        peer_is_local: whether the offer came from this machine, so that loopback can be used.
        public: whether to use public addresses, too, because a STUN or TURN server is set. Without one,
            botrun answers peers but sends nothing to the public Internet first.
    """

    peer_is_local: bool = False
    public: bool = False


def parse_candidate(line: str, policy: CandidatePolicy) -> Candidate | LeftAside:
    """The candidate, or why it is not used."""
    match = _CANDIDATE.fullmatch(line.strip()) if len(line) <= MAX_CANDIDATE_CHARS else None
    if match is None:
        return LeftAside.MALFORMED
    if match["transport"].lower() != "udp":
        return LeftAside.TCP
    if match["component"] != "1":
        return LeftAside.RTCP
    port, kind, priority = int(match["port"]), match["type"], int(match["priority"])
    if not 1 <= port <= 65535 or kind not in _TYPES or not 1 <= priority < 2**32:
        return LeftAside.USELESS
    return _fault_of_host(match["host"], policy) or Candidate(
        foundation=match["foundation"], priority=priority, host=match["host"], port=port, type=kind
    )


def _fault_of_host(host: str, policy: CandidatePolicy) -> LeftAside | None:
    if _MDNS_NAME.fullmatch(host):
        return LeftAside.HIDDEN
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return LeftAside.USELESS
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback:
        return None if policy.peer_is_local else LeftAside.ELSEWHERE
    if plain.is_multicast or plain.is_unspecified or (plain.version == 4 and plain.is_reserved):
        return LeftAside.USELESS
    if plain.is_link_local or plain.is_reserved or "%" in host:
        return LeftAside.ELSEWHERE
    return LeftAside.PUBLIC if plain.is_global and not policy.public else None


def shown(text: str) -> str:
    """Untrusted text for use in an error: quoted and shortened."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
