"""What is counted once in a run, whichever of its processes a request comes to: tokens, limits, calls made.

Arguments and answers are JSON: workers ask from processes of their own (`desk_line.py`). Pure but for
the log: `now` is seconds on any clock that only goes forward.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from runner.providers.webhooks import CallFacts
from runner.server.public.ledger.limits import CallLimits
from runner.server.public.ledger.tickets import LIFE_S, Ticket, Tickets
from runner.settings import Settings

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
"""What can be asked: the methods below, of these names."""


class Ledger:
    """One for a run.

    Args:
        settings: the run's limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.tickets = Tickets()
        self.outgoing = Outgoing()
        self.limits = CallLimits(
            calls=min((n for n in (settings.max_public_calls, settings.max_sessions) if n), default=0),
            per_caller=settings.max_calls_per_caller,
            starts_per_min=settings.max_starts_per_min,
            connect_s=LIFE_S,
        )
        self._transfers: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)

    def answer(self, what: str, args: Sequence[Any], now: float) -> Any:
        """Ask by name. Raises `RefusedError` where the method does, `LookupError` for another name."""
        if what not in WORDS:
            raise LookupError(what)
        return getattr(self, what)(now, *args)

    # ------------------------------------------------------------ calls that come

    def admit(self, now: float, call_id: str, caller: str) -> str:
        """Why this call is not taken; "" if it is. Calls that we made were counted before."""
        self.tickets.check_is_new(call_id)
        return "" if self.outgoing.state(call_id) else self.limits.refusal(call_id, caller, now)

    def issue(self, now: float, provider: str, call: Mapping[str, Any], life_s: float) -> str:
        """A token for this call's media socket."""
        return self.tickets.issue(provider, CallFacts(**call), now, life_s)

    def redeem(self, now: float, token: str) -> dict[str, Any]:
        """The ticket that a token stands for, once. Raises `RefusedError`."""
        return asdict(self.tickets.redeem(token, now))

    def restore(self, now: float, token: str, ticket: Mapping[str, Any]) -> None:
        """Another socket than the call's has used this token: it is good again."""
        self.tickets.restore(token, ticket_of(ticket))

    def has_sound(self, now: float, call_id: str) -> bool:
        """Whether the call's socket has come."""
        return self.limits.is_connected(call_id)

    def news(self, now: float, event: str) -> bool:
        """Whether this event was not told before: what a provider thinks lost, it tells again."""
        if event in self._events:
            return False
        self._events.append(event)
        return True

    def no_news(self, now: float, event: str) -> None:
        """It came to nothing, and may be told again."""
        if event in self._events:
            self._events.remove(event)

    def begins(self, now: float, call_id: str, caller: str) -> None:
        """The call's sound has come."""
        self.limits.connected(call_id)
        self.outgoing.talks(call_id)

    def goes_on(self, now: float, call_id: str, caller: str) -> None:
        """A call under way since before this ledger was begun."""
        self.limits.goes_on(call_id, caller, now)

    def ends(self, now: float, call_id: str) -> None:
        """The call is over."""
        self.limits.over(call_id)
        self.outgoing.hung_up(call_id)

    # ------------------------------------------------------------ transfers

    def park(self, now: float, number: str) -> str:
        """A token that tells, once, where a caller goes."""
        while len(self._transfers) >= MOST_TRANSFERS:
            self._transfers.pop(next(iter(self._transfers)))
        token = secrets.token_urlsafe(24)
        self._transfers[token] = number
        return token

    def parked(self, now: float, token: str) -> str:
        """Where; "" if nobody knows."""
        return self._transfers.pop(token, "")

    # ------------------------------------------------------------ calls that we make

    def rings(self, now: float, call_id: str) -> None:
        """The provider has taken the order."""
        self.outgoing.rings(call_id)

    def state(self, now: float, call_id: str) -> tuple[str, bool]:
        """A word, "" for a call that we did not make; and whether it is over."""
        return self.outgoing.state(call_id), self.outgoing.is_over(call_id)

    def became(self, now: float, call_id: str, word: str) -> None:
        """The provider said how it stands."""
        self.outgoing.told(call_id, word)

    def voicemail(self, now: float, call_id: str) -> bool:
        """A machine picked up; whether that was a call of ours."""
        return self.outgoing.reached_voicemail(call_id)


def ticket_of(told: Mapping[str, Any]) -> Ticket:
    """A ticket from its JSON."""
    return Ticket(**{**told, "call": CallFacts(**told["call"])})


logger = logging.getLogger(__name__)

MOST = 200
_OVER = frozenset(
    {"completed", "busy", "failed", "no-answer", "canceled", "call.hangup", "hangup", "terminal", "timeout"}
)


class Outgoing:
    """Remembers the last `MOST` calls by the provider's id."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, str] = OrderedDict()

    def rings(self, call_id: str) -> None:
        """The provider has taken the order."""
        self._states[call_id] = "ringing"
        while len(self._states) > MOST:
            self._states.popitem(last=False)

    def state(self, call_id: str) -> str:
        """A word; "" for a call that we did not make."""
        return self._states.get(call_id, "")

    def told(self, call_id: str, word: str) -> None:
        """The provider said how it stands."""
        if call_id in self._states and not self.is_over(call_id):
            state = "over: " + word.removeprefix("call.") if word.lower() in _OVER else word
            self._states[call_id] = state[:60]

    def reached_voicemail(self, call_id: str) -> bool:
        """A machine picked up; whether that was a call of ours."""
        logger.info("a voicemail was reached: the call is ended")
        if call_id not in self._states:
            return False
        self._states[call_id] = "over: voicemail"
        return True

    def talks(self, call_id: str) -> None:
        """Its sound has come."""
        if call_id in self._states:
            self._states[call_id] = "talking"

    def hung_up(self, call_id: str) -> None:
        """Its sound is over, and so is the call."""
        if call_id in self._states and not self.is_over(call_id):
            self._states[call_id] = "over: completed"

    def is_over(self, call_id: str) -> bool:
        """Whether nothing more will become of it."""
        return self.state(call_id).startswith("over")
