"""Calls that we make: what has become of each. Pure but for the log."""

from __future__ import annotations

import logging
from collections import OrderedDict

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
