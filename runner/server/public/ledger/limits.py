"""How many calls a public address takes. Pure: `now` is seconds on any clock that only goes forward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MINUTE_S = 60.0


@dataclass(slots=True)
class _Open:
    caller: str
    since: float
    connected: bool = False


class CallLimits:
    """Counts calls from their answer on. 0 is no limit.

    Args:
        calls: at once.
        per_caller: at once, from one number.
        starts_per_min: that begin within any minute.
        connect_s: an answered call whose sound does not come within that time (s) counts no more.
    """

    def __init__(self, *, calls: int, per_caller: int, starts_per_min: int, connect_s: float) -> None:
        self._calls = calls
        self._per_caller = per_caller
        self._starts_per_min = starts_per_min
        self._connect_s = connect_s
        self._open: dict[str, _Open] = {}
        self._starts: deque[float] = deque()

    def refusal(self, call_id: str, caller: str, now: float) -> str:
        """Why this call is not taken; "" if it is: then it counts."""
        self._forget(now)
        if call_id in self._open:
            return ""
        if self._calls and len(self._open) >= self._calls:
            return f"{len(self._open)} calls are under way (BOTRUN_MAX_PUBLIC_CALLS, BOTRUN_MAX_SESSIONS)"
        same = sum(1 for call in self._open.values() if caller and call.caller == caller)
        if self._per_caller and same >= self._per_caller:
            return f"this caller has {same} calls under way (BOTRUN_MAX_CALLS_PER_CALLER)"
        if self._starts_per_min and len(self._starts) >= self._starts_per_min:
            return f"{len(self._starts)} calls began within a minute (BOTRUN_MAX_STARTS_PER_MIN)"
        self._starts.append(now)
        self._open[call_id] = _Open(caller, now)
        return ""

    def is_connected(self, call_id: str) -> bool:
        """Whether its sound has come."""
        return call_id in self._open and self._open[call_id].connected

    def connected(self, call_id: str) -> None:
        """Its sound has come: it counts until it is over."""
        if call_id in self._open:
            self._open[call_id].connected = True

    def goes_on(self, call_id: str, caller: str, now: float) -> None:
        """A call that began before this count did: it counts until it is over, and is no start."""
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
