"""The run's ledger, shared by all its processes: tokens, active public calls, dialled calls.

Arguments and results of `Ledger` are JSON, because workers call it from their own processes
(`ledger_client.py`). Pure except for the log: `now` is in seconds of any monotonic clock.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from runner.providers.webhooks import CallFacts, RefusedError
from runner.settings import Settings

MINUTE_S = 60.0
UNKNOWN_TOKEN = "its token is unknown or used up; each is valid for one socket"
COPY = "its call was connected already: the webhook is a copy of an earlier one"


@dataclass(slots=True)
class _Open:
    caller: str
    since: float
    connected: bool = False
    number: str = ""


class CallLimits:
    """Counts calls from when they are answered. 0 = unlimited.

    Args:
        calls: maximum number of concurrent calls.
        per_caller: maximum number of concurrent calls from one number.
        per_number: maximum number of concurrent calls to one of the run's numbers.
        starts_per_min: maximum number of calls started within any minute.
        connect_s: time (s) after which an answered call without media is no longer counted.
    """

    def __init__(
        self, *, calls: int, per_caller: int, starts_per_min: int, connect_s: float, per_number: int = 0
    ) -> None:
        self.calls = calls
        self._per_caller = per_caller
        self._per_number = per_number
        self._starts_per_min = starts_per_min
        self._connect_s = connect_s
        self._open: dict[str, _Open] = {}
        self._starts: deque[float] = deque()

    def refusal(self, call_id: str, caller: str, now: float, number: str = "") -> str:
        """Why this call is refused; "" if it is accepted, and counted."""
        self._forget(now)
        if call_id in self._open:
            return ""
        if self.calls and len(self._open) >= self.calls:
            return f"{len(self._open)} calls are under way (BOTRUN_MAX_PUBLIC_CALLS, BOTRUN_MAX_SESSIONS)"
        same = sum(1 for call in self._open.values() if caller and call.caller == caller)
        if self._per_caller and same >= self._per_caller:
            return f"this caller has {same} calls under way (BOTRUN_MAX_CALLS_PER_CALLER)"
        same = sum(1 for call in self._open.values() if number and call.number == number)
        if self._per_number and same >= self._per_number:
            return f"this number has {same} calls under way (BOTRUN_MAX_CALLS_PER_NUMBER)"
        if self._starts_per_min and len(self._starts) >= self._starts_per_min:
            return f"{len(self._starts)} calls began within a minute (BOTRUN_MAX_STARTS_PER_MIN)"
        self._starts.append(now)
        self._open[call_id] = _Open(caller, now, number=number)
        return ""

    def is_connected(self, call_id: str) -> bool:
        """Whether the call's media has come."""
        return call_id in self._open and self._open[call_id].connected

    def connected(self, call_id: str) -> None:
        """The call's media has come: count it until it is over."""
        if call_id in self._open:
            self._open[call_id].connected = True

    def goes_on(self, call_id: str, caller: str, now: float) -> None:
        """Count a call that began before this object, but not as a start."""
        self._open[call_id] = _Open(caller, now, connected=True)

    def over(self, call_id: str) -> None:
        """The call has ended."""
        self._open.pop(call_id, None)

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0] <= now - MINUTE_S:
            self._starts.popleft()
        for call_id, call in list(self._open.items()):
            if not call.connected and call.since < now - self._connect_s:
                del self._open[call_id]


TICKET_LIFE_S = 60.0
"""Time (s) from the answer to the socket. A provider opens it at once; a dialled phone rings first."""

TICKET_RETRY_S = 14_400.0
"""Lifetime (s) of a used Exotel token: Exotel opens a second socket once if the first is lost (PROTOCOLS.md
§4)."""

MOST_TICKETS = 2000
MOST_CONNECTED = 50_000
"""Maximum number of ids of connected calls that are remembered; about 5 MB."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The data behind a token. `again`: it was used before, and only the same call may use it again."""

    provider: str
    call: CallFacts
    expires_at: float
    again: bool = False


class Tickets:
    """The valid tokens. `now` is in seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._out: dict[str, Ticket] = {}
        self._of_call: dict[tuple[str, str], str] = {}
        self._connected: OrderedDict[str, None] = OrderedDict()

    def issue(self, provider: str, call: CallFacts, now: float, life_s: float = TICKET_LIFE_S) -> str:
        """A token for this call; the same one until it is used.

        Raises:
            RefusedError: the call's socket has connected already, so this webhook is a copy.
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
        """The ticket of a token, which can be used once.

        Raises:
            RefusedError: the token is unknown, used or expired.
        """
        ticket = self._out.pop(token, None)
        if ticket is not None and ticket.call.call_id:
            self._remember(ticket.call.call_id)
        if ticket is None:
            raise RefusedError(UNKNOWN_TOKEN)
        if ticket.expires_at < now:
            raise RefusedError(f"its token is {now - ticket.expires_at:.0f} s too old")
        if ticket.provider == "exotel" and not ticket.again:
            self._out[token] = Ticket(ticket.provider, ticket.call, now + TICKET_RETRY_S, again=True)
        return ticket

    def restore(self, token: str, ticket: Ticket) -> None:
        """Make a token valid again: the socket that used it was not the call's."""
        self._out[token] = ticket
        self._connected.pop(ticket.call.call_id, None)
        if ticket.call.call_id:
            self._of_call[ticket.provider, ticket.call.call_id] = token

    def check_is_new(self, call_id: str) -> None:
        """Check that this call's socket has not connected yet.

        Signatures can stay valid (Twilio's have no timestamp), so call ids are remembered rather than nonces.

        Raises:
            RefusedError: it has connected before.
        """
        if call_id and call_id in self._connected:
            raise RefusedError(COPY)

    def _remember(self, call_id: str) -> None:
        self._connected[call_id] = None
        while len(self._connected) > MOST_CONNECTED:
            self._connected.popitem(last=False)

    def _forget_old(self, now: float) -> None:
        for token, ticket in list(self._out.items()):
            if ticket.expires_at < now or len(self._out) >= MOST_TICKETS:
                del self._out[token]
        self._of_call = {call: token for call, token in self._of_call.items() if token in self._out}


MOST_TRANSFERS = 100
MOST_EVENTS = 500

WORDS = frozenset(
    {
        "admit",
        "issue",
        "redeem",
        "restore",
        "has_sound",
        "news",
        "no_news",
        "begins",
        "ends",
        "goes_on",
        "park",
        "parked",
    }
    | {"rings", "state", "became", "voicemail"}
)
"""The methods below that can be called by name."""


class Ledger:
    """The ledger of a run.

    Args:
        settings: the settings with the run's limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.tickets = Tickets()
        self.outgoing = Outgoing()
        self.limits = CallLimits(
            calls=min((n for n in (settings.max_public_calls, settings.max_sessions) if n), default=0),
            per_caller=settings.max_calls_per_caller,
            per_number=settings.max_calls_per_number,
            starts_per_min=settings.max_starts_per_min,
            connect_s=TICKET_LIFE_S,
        )
        self._transfers: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)

    def answer(self, what: str, args: Sequence[Any], now: float) -> Any:
        """Call a method by name. Raises `RefusedError` if the method does, `LookupError` for an unknown
        name."""
        if what not in WORDS:
            raise LookupError(what)
        return getattr(self, what)(now, *args)

    # ------------------------------------------------------------ incoming calls

    def admit(self, now: float, call_id: str, caller: str, number: str = "") -> str:
        """Why this call is refused; "" if it is accepted. Dialled calls are not counted."""
        self.tickets.check_is_new(call_id)
        return "" if self.outgoing.state(call_id) else self.limits.refusal(call_id, caller, now, number)

    def issue(self, now: float, provider: str, call: Mapping[str, Any], life_s: float) -> str:
        """A token for this call's media socket."""
        return self.tickets.issue(provider, CallFacts(**call), now, life_s)

    def redeem(self, now: float, token: str) -> dict[str, Any]:
        """The ticket of a token, which can be used once. Raises `RefusedError`."""
        return asdict(self.tickets.redeem(token, now))

    def restore(self, now: float, token: str, ticket: Mapping[str, Any]) -> None:
        """Make a token valid again that was used by a socket other than the call's."""
        self.tickets.restore(token, ticket_of(ticket))

    def has_sound(self, now: float, call_id: str) -> bool:
        """Whether the call's socket has connected."""
        return self.limits.is_connected(call_id)

    def news(self, now: float, event: str) -> bool:
        """Whether this event is new; providers repeat events that they believe lost."""
        if event in self._events:
            return False
        self._events.append(event)
        return True

    def no_news(self, now: float, event: str) -> None:
        """Handling the event failed: forget it, so that the provider's repetition is handled."""
        if event in self._events:
            self._events.remove(event)

    def begins(self, now: float, call_id: str, caller: str, provider: str = "") -> None:
        """The call's media has come."""
        self.limits.connected(call_id)
        self.outgoing.talks(call_id)

    def goes_on(self, now: float, call_id: str, caller: str, provider: str = "") -> None:
        """Count a call that began before this ledger."""
        self.limits.goes_on(call_id, caller, now)

    def ends(self, now: float, call_id: str) -> None:
        """The call is over."""
        self.limits.over(call_id)
        self.outgoing.hung_up(call_id)

    # ------------------------------------------------------------ transfers

    def park(self, now: float, number: str) -> str:
        """Store the number for a transfer; returns a token for reading it once."""
        while len(self._transfers) >= MOST_TRANSFERS:
            self._transfers.pop(next(iter(self._transfers)))
        token = secrets.token_urlsafe(24)
        self._transfers[token] = number
        return token

    def parked(self, now: float, token: str) -> str:
        """The stored number; "" for an unknown token."""
        return self._transfers.pop(token, "")

    # ------------------------------------------------------------ dialled calls

    def rings(self, now: float, call_id: str) -> None:
        """The provider has accepted the call."""
        self.outgoing.rings(call_id)

    def state(self, now: float, call_id: str) -> tuple[str, bool]:
        """The state of a dialled call ("" if unknown), and whether it is over."""
        return self.outgoing.state(call_id), self.outgoing.is_over(call_id)

    def became(self, now: float, call_id: str, word: str) -> None:
        """The provider reported the call's state."""
        self.outgoing.update(call_id, word)

    def voicemail(self, now: float, call_id: str) -> bool:
        """Voicemail answered; returns whether this is a dialled call."""
        return self.outgoing.reached_voicemail(call_id)


def ticket_of(fields: Mapping[str, Any]) -> Ticket:
    """A ticket from its JSON."""
    return Ticket(**{**fields, "call": CallFacts(**fields["call"])})


logger = logging.getLogger(__name__)

MOST_OUTGOING = 200
_OVER = frozenset(
    {"completed", "busy", "failed", "no-answer", "canceled", "call.hangup", "hangup", "terminal", "timeout"}
)


class Outgoing:
    """The states of the last `MOST_OUTGOING` dialled calls, by the provider's call id."""

    def __init__(self, states: Mapping[str, str] | None = None) -> None:
        self._states: OrderedDict[str, str] = OrderedDict(states or {})

    def rings(self, call_id: str) -> None:
        """The provider has accepted the call."""
        self._states[call_id] = "ringing"
        while len(self._states) > MOST_OUTGOING:
            self._states.popitem(last=False)

    def state(self, call_id: str) -> str:
        """The state of a dialled call; "" if unknown."""
        return self._states.get(call_id, "")

    def update(self, call_id: str, word: str) -> None:
        """The provider reported the call's state."""
        if call_id in self._states and not self.is_over(call_id):
            state = "over: " + word.removeprefix("call.") if word.lower() in _OVER else word
            self._states[call_id] = state[:60]

    def reached_voicemail(self, call_id: str) -> bool:
        """Voicemail answered; returns whether this is a dialled call."""
        logger.info("voicemail answered: ending the call")
        if call_id not in self._states:
            return False
        self._states[call_id] = "over: voicemail"
        return True

    def talks(self, call_id: str) -> None:
        """The call's media has come."""
        if call_id in self._states:
            self._states[call_id] = "talking"

    def hung_up(self, call_id: str) -> None:
        """The call's media has ended, and so has the call."""
        if call_id in self._states and not self.is_over(call_id):
            self._states[call_id] = "over: completed"

    def is_over(self, call_id: str) -> bool:
        """Whether the call is over."""
        return self.state(call_id).startswith("over")
