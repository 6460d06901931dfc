"""One ICE candidate line: taken, left aside, or refused. Pure; aiortc sees only what is taken.

aiortc and aioice send STUN requests to whatever a candidate names, and parse host names, port 99999 and
unknown media without a word (measured, `reference/RELIABILITY.md` §1). So we parse ourselves:

* **taken**: UDP, component 1, an address that this process may well send to;
* **left aside** (counted, the call goes on): what is legal but of no use to us. TCP; the second component
  of an unbundled RTCP; `<uuid>.local` names, since resolving them takes multicast and up to a second, and
  the browser's own checks tell us its address anyway (a peer-reflexive candidate, RFC 8445 §7.3.1.3); public
  addresses as long as no STUN or TURN server was asked for; loopback of a peer on another machine;
* **refused** (`OfferError`): what no honest peer sends.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from runner.errors import OfferError

MAX_CANDIDATES = 64
MAX_CANDIDATE_CHARS = 1024

# RFC 8839 §5.1; extension pairs (raddr, rport, generation, ufrag …) may follow and do not matter to us.
_CANDIDATE = re.compile(
    r"(?:a=)?candidate:(?P<foundation>[A-Za-z0-9+/]{1,64}) (?P<component>\d{1,3}) "
    r"(?P<transport>[A-Za-z-]{2,10}) (?P<priority>\d{1,10}) (?P<host>[^ ]{1,255}) (?P<port>\d{1,5}) "
    r"typ (?P<type>[a-z]{1,10})(?: .*)?",
    re.ASCII,
)
# draft-ietf-mmusic-mdns-ice-candidates §3.1.1: the name is a version 4 UUID followed by ".local".
_MDNS_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local", re.ASCII | re.IGNORECASE)
_TYPES = ("host", "srflx", "prflx", "relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A UDP address of the peer that we may send to."""

    foundation: str
    priority: int
    host: str
    port: int
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePolicy:
    """Which addresses are worth sending to.

    Attributes:
        peer_is_local: the offer came from this very machine, so its loopback is ours.
        public: public addresses too, because a STUN or TURN server was asked for. Without one whoever
            can reach us is answered, but nothing of ours goes to the public Internet first.
    """

    peer_is_local: bool = False
    public: bool = False


def parse_candidate(line: str, policy: CandidatePolicy) -> Candidate | None:
    """The candidate, or None if it is of no use to us. Raises `OfferError`."""
    match = _CANDIDATE.fullmatch(line.strip()) if len(line) <= MAX_CANDIDATE_CHARS else None
    if match is None:
        raise OfferError(f"ICE candidate {shown(line)} is malformed")
    port, kind, priority = int(match["port"]), match["type"], int(match["priority"])
    if not 1 <= port <= 65535:
        raise OfferError(f"ICE candidate has port {port}, which is not in 1 to 65535")
    if kind not in _TYPES:
        raise OfferError(f"ICE candidate has the unknown type {shown(kind)}")
    if not 1 <= priority < 2**32:
        raise OfferError(f"ICE candidate has priority {priority}, which is out of range")
    usable = _host_is_usable(match["host"], policy)
    if not usable or match["component"] != "1" or match["transport"].lower() != "udp":
        return None
    return Candidate(
        foundation=match["foundation"], priority=priority, host=match["host"], port=port, type=kind
    )


def _host_is_usable(host: str, policy: CandidatePolicy) -> bool:
    if _MDNS_NAME.fullmatch(host):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        fault = "is neither an IP address nor <uuid>.local"
        raise OfferError(f"ICE candidate host {shown(host)} {fault}") from None
    plain = getattr(address, "ipv4_mapped", None) or address
    if plain.is_loopback:
        return policy.peer_is_local
    if plain.is_multicast or plain.is_unspecified or (plain.version == 4 and plain.is_reserved):
        raise OfferError(f"ICE candidate host {shown(host)} is not the address of one machine")
    if plain.is_link_local or plain.is_reserved or "%" in host:
        return False
    return policy.public or not plain.is_global


def shown(text: str) -> str:
    """Foreign text as it may stand in a sentence of ours: quoted and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
