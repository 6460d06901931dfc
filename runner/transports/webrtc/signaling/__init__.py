"""Signaling: offers and candidates of one caller, for one peer or several in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.errors import OfferError
from runner.transports.webrtc.signaling.candidates import MAX_CANDIDATES, CandidatePolicy, LeftAside
from runner.transports.webrtc.signaling.offer import CheckedOffer, check_offer, check_trickled

if TYPE_CHECKING:
    from runner.transports.webrtc.peer import Peer


class Signaling:
    """Validates offers and candidates, and passes them to a peer.

    Args:
        make_peer: creates the peer of a call, or one that replaces a lost peer.
        policy: which candidates are worth sending to.
        is_open: False once the connection is closed.

    Attributes:
        peer: the current peer; None before the first offer, and while a peer is replaced.
        rejected: the sections of the last offer that are not carried, and why.
        answer: the SDP that the last offer is answered with.
        left_aside: ICE candidates that are not used, per reason.
    """

    def __init__(
        self, make_peer: Callable[[], Peer], policy: CandidatePolicy, is_open: Callable[[], bool]
    ) -> None:
        self.peer: Peer | None = None
        self.answer = ""
        self.left_aside: Counter[LeftAside] = Counter()
        self.rejected: list[str] = []
        self._make_peer = make_peer
        self._policy = policy
        self._is_open = is_open
        self._turn = asyncio.Lock()
        self._offer: CheckedOffer | None = None
        self._trickled = 0

    async def begin(self, sdp: str, type: str) -> None:
        """The first offer. Raises `OfferError`."""
        offer = check_offer(sdp, type, self._policy)
        async with self._turn:
            await self._meet(offer)

    async def go_on(self, sdp: str, type: str, restart_pc: bool) -> bool:
        """Process a further offer; True if a new peer answered it. Raises `OfferError`."""
        offer = check_offer(sdp, type, self._policy)
        async with self._turn:
            peer = self.peer
            if not self._is_open() or peer is None or self._offer is None:
                raise OfferError("this connection is closed: make an offer without pc_id")
            # A new ufrag asks for an ICE restart (RFC 8839 §4.4.1.1.1), which aiortc cannot do in place.
            if not restart_pc and offer.ufrag == self._offer.ufrag and peer.state not in ("failed", "closed"):
                self.answer = await peer.answer(offer)
                self._offer, self.rejected = offer, offer.rejected
                return False
            self.peer = None
            await peer.aclose()
            await self._meet(offer)
            return True

    async def add_candidate(self, line: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """A candidate that came after the offer. Raises `OfferError`."""
        if self.peer is None or self._offer is None or not self._is_open():
            raise OfferError("this connection is closed")
        self._trickled += 1
        if self._trickled > MAX_CANDIDATES:
            raise OfferError(f"more than {MAX_CANDIDATES} ICE candidates came after the offer")
        found = check_trickled(line, sdp_mid, sdp_mline_index, self._offer, self._policy)
        if isinstance(found, LeftAside):
            self.left_aside[found] += 1
        else:
            await self.peer.add_candidate(found)

    async def _meet(self, offer: CheckedOffer) -> None:
        self._offer, self._trickled, self.rejected = offer, 0, offer.rejected
        self.left_aside += offer.left_aside
        peer = self.peer = self._make_peer()
        self.answer = await peer.answer(offer)
        if not self._is_open():  # closed meanwhile, when there was no peer to close
            await peer.aclose()
            raise OfferError("this connection was closed while the offer was answered")
