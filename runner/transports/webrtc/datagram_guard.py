"""Which datagrams of a WebRTC port are read, and how many were dropped for which reason.

Anybody can send to the UDP port of a call. From an address that has not passed an ICE check, only STUN for
this call is read; media, reports and DTLS must come from a checked address (RFC 8445 §12.2). So datagrams
from unknown senders reach neither OpenSSL nor libsrtp. Pure.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container
from enum import Enum, StrEnum

logger = logging.getLogger(__name__)

Address = tuple[str, int]
"""IP address and port of a sender."""

MIN_STUN_BYTES, MAX_STUN_BYTES = 20, 1280
"""Size of a STUN header; minimum MTU of IPv6. ICE checks have about 100 bytes."""

MIN_DTLS_BYTES, MAX_DTLS_BYTES = 13, 4096
"""Size of a DTLS record header; more than any path carries in one piece."""

MIN_MEDIA_BYTES, MAX_MEDIA_BYTES = 8, 1500
"""Size of an RTCP header; pylibsrtp's buffer size."""

MAX_ADDRESSES = 64
"""Maximum number of checked addresses per call. A phone that changes networks needs a few."""

MAX_SOURCES = 32
"""Maximum number of sources (SSRC) that are decrypted; libsrtp keeps a state for each."""

MAX_QUEUED = 512
"""Maximum number of datagrams queued for DTLS and RTCP; more are dropped."""

MAX_ERROR_REPLIES = 64
"""Maximum number of STUN requests without valid credentials that get an error response (RFC 8489 §9.1.3)."""


class Kind(Enum):
    """What a datagram is, by its first byte (RFC 7983 §7)."""

    STUN = "STUN"
    DTLS = "DTLS"
    MEDIA = "RTP or RTCP"


class Drop(StrEnum):
    """Why a datagram was dropped."""

    LENGTH = "too short or too long"
    UNKNOWN = "of an unknown protocol"
    UNCHECKED = "from an address that passed no ICE check"
    CREDENTIALS = "STUN without the credentials of this call"
    REFUSED = "replayed, or encrypted with another key"
    SOURCES = "of too many sources (SSRC)"
    FLOOD = "faster than they are read"
    BROKEN = "not understood by the library that parses them"


class DatagramGuard:
    """Sorts datagrams received by one peer connection.

    Args:
        local_username: the local ICE username fragment, with which every check of the peer begins.

    Attributes:
        checked: addresses that passed an ICE check; media and DTLS are accepted from these.
        sources: SSRCs of decrypted packets, 4 bytes each.
        dropped: datagrams per reason.
    """

    def __init__(self, local_username: str) -> None:
        self.checked: set[Address] = set()
        self.sources: set[bytes] = set()
        self.dropped: Counter[Drop] = Counter()
        self._username = f"{local_username}:".encode()

    def sort(self, data: bytes, address: Address, transactions: Container[bytes]) -> Kind | None:
        """The kind of the datagram; None if it was dropped.

        Args:
            transactions: ids of sent STUN requests without a response.
        """
        found = self._sort(data, address, transactions)
        if isinstance(found, Drop):
            self.dropped[found] += 1
            return None
        return found

    def _sort(self, data: bytes, address: Address, transactions: Container[bytes]) -> Kind | Drop:
        size = len(data)
        if size < MIN_MEDIA_BYTES:
            return Drop.LENGTH
        first = data[0]
        if 128 <= first < 192:
            if size > MAX_MEDIA_BYTES:
                return Drop.LENGTH
            return Kind.MEDIA if address in self.checked else Drop.UNCHECKED
        if first < 4:
            return self._sort_stun(data, size, transactions)
        if 20 <= first < 64:
            if not MIN_DTLS_BYTES <= size <= MAX_DTLS_BYTES:
                return Drop.LENGTH
            return Kind.DTLS if address in self.checked else Drop.UNCHECKED
        return Drop.UNKNOWN

    def _sort_stun(self, data: bytes, size: int, transactions: Container[bytes]) -> Kind | Drop:
        if not MIN_STUN_BYTES <= size <= MAX_STUN_BYTES:
            return Drop.LENGTH
        is_request = data[0] & 0x01 == 0 and data[1] & 0x10 == 0  # RFC 8489 §5: both class bits are 0
        if (is_request and self._username in data) or data[8:20] in transactions:
            return Kind.STUN
        return Drop.CREDENTIALS

    def passed_check(self, address: Address) -> bool:
        """This address has passed an ICE check; False if too many have."""
        if address not in self.checked:
            if len(self.checked) >= MAX_ADDRESSES:
                return False
            self.checked.add(address)
        return True

    def allows_source(self, ssrc: bytes) -> bool:
        """Whether packets of this source may be decrypted."""
        return ssrc in self.sources or len(self.sources) < MAX_SOURCES

    def drop(self, reason: Drop) -> None:
        self.dropped[reason] += 1

    def broken(self, what: str, error: Exception) -> None:
        """A parser failed on a datagram; only the first failure of a call is logged."""
        self.dropped[Drop.BROKEN] += 1
        if self.dropped[Drop.BROKEN] == 1:
            logger.warning("datagram dropped: %s failed with %s: %s", what, type(error).__name__, error)
            logger.debug("traceback of the dropped datagram", exc_info=error)

    def summary(self) -> str:
        """For a log line: "12 datagrams (9 too short or too long, 3 …)"; "" if none was dropped."""
        if not self.dropped:
            return ""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.most_common())
        return f"{self.dropped.total()} datagrams ({reasons})"
