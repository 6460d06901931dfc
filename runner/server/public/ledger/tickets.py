"""One-time tokens for media sockets: who was answered may bring that call's sound, once. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from runner.providers.webhooks import CallFacts, RefusedError

LIFE_S = 60.0
"""From the answer to the socket (s): a provider opens it at once, a dialled phone first rings."""

RETRY_S = 14_400.0
"""Exotel opens a second socket for the same call when the first breaks, once (PROTOCOLS.md §4)."""

MOST = 2000


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token stands for. `again`: it was used before, and only that same call may use it."""

    provider: str
    call: CallFacts
    expires_at: float
    again: bool = False


class Tickets:
    """The tokens that are out. `now` is seconds on any clock that only goes forward."""

    def __init__(self) -> None:
        self._out: dict[str, Ticket] = {}
        self._of_call: dict[tuple[str, str], str] = {}

    def issue(self, provider: str, call: CallFacts, now: float, life_s: float = LIFE_S) -> str:
        """A token for this call. A webhook that is sent twice makes the first one void."""
        self._forget_old(now)
        known = (provider, call.call_id)
        if call.call_id and known in self._of_call:
            self._out.pop(self._of_call.pop(known), None)
        token = secrets.token_urlsafe(24)
        self._out[token] = Ticket(provider, call, now + life_s)
        if call.call_id:
            self._of_call[known] = token
        return token

    def redeem(self, token: str, now: float) -> Ticket:
        """What the token stands for; it is used up.

        Raises:
            RefusedError: it was never given out, is used up or too old.
        """
        ticket = self._out.pop(token, None)
        if ticket is None:
            raise RefusedError("its token is unknown or used up: each is good for one socket")
        if ticket.expires_at < now:
            raise RefusedError(f"its token is {now - ticket.expires_at:.0f} s too old")
        if ticket.provider == "exotel" and not ticket.again:
            self._out[token] = Ticket(ticket.provider, ticket.call, now + RETRY_S, again=True)
        return ticket

    def void(self, token: str) -> None:
        """Nobody may use it any more."""
        self._out.pop(token, None)

    def _forget_old(self, now: float) -> None:
        for token, ticket in list(self._out.items()):
            if ticket.expires_at < now or len(self._out) >= MOST:
                del self._out[token]
        self._of_call = {call: token for call, token in self._of_call.items() if token in self._out}
