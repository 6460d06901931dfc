"""One-time tokens for media sockets: who was answered may bring that call's sound, once. Pure."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from runner.providers.webhooks import CallFacts, RefusedError

LIFE_S = 60.0
"""From the answer to the socket (s): a provider opens it at once, a dialled phone first rings."""

RETRY_S = 14_400.0
"""Exotel opens a second socket for the same call when the first breaks, once (PROTOCOLS.md §4)."""

MOST = 2000
MOST_REMEMBERED = 50_000
"""Ids of calls that were connected, some 5 MB at most."""


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
        self._connected: OrderedDict[str, None] = OrderedDict()

    def issue(self, provider: str, call: CallFacts, now: float, life_s: float = LIFE_S) -> str:
        """A token for this call; the same one again while nobody has used it.

        Raises:
            RefusedError: the call's socket came already, so this webhook is a copy.
        """
        self._forget_old(now)
        self.check_is_new(call.call_id)
        known = (provider, call.call_id)
        if call.call_id and known in self._of_call:
            return self._of_call[known]
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
        if ticket is not None and ticket.call.call_id:
            self._remember(ticket.call.call_id)
        if ticket is None:
            raise RefusedError("its token is unknown or used up: each is good for one socket")
        if ticket.expires_at < now:
            raise RefusedError(f"its token is {now - ticket.expires_at:.0f} s too old")
        if ticket.provider == "exotel" and not ticket.again:
            self._out[token] = Ticket(ticket.provider, ticket.call, now + RETRY_S, again=True)
        return ticket

    def restore(self, token: str, ticket: Ticket) -> None:
        """The socket that used it was not the call's: the call's own may still come."""
        self._out[token] = ticket
        self._connected.pop(ticket.call.call_id, None)
        if ticket.call.call_id:
            self._of_call[ticket.provider, ticket.call.call_id] = token

    def check_is_new(self, call_id: str) -> None:
        """See that this call's socket has not come yet.

        A signature can be valid for ever (Twilio's has no time), so ids are remembered, not nonces.

        Raises:
            RefusedError: it has come, now or in the past.
        """
        if call_id and call_id in self._connected:
            raise RefusedError("its call was connected already: the webhook is a copy of an earlier one")

    def _remember(self, call_id: str) -> None:
        self._connected[call_id] = None
        while len(self._connected) > MOST_REMEMBERED:
            self._connected.popitem(last=False)

    def _forget_old(self, now: float) -> None:
        for token, ticket in list(self._out.items()):
            if ticket.expires_at < now or len(self._out) >= MOST:
                del self._out[token]
        self._of_call = {call: token for call, token in self._of_call.items() if token in self._out}
