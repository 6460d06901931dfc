"""Whether the user is listened to, and what was said while that was not so."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from runner.eventloop.clock import Clock
from runner.frames import Frame, UserMuteStartedFrame, UserMuteStoppedFrame
from runner.turns.muting import CallState, Mute

LATE_WORDS_S = 1.0
"""Words that come so soon (s) after a mute were said during it, unless the user speaks."""


class UserMute:
    """The mute of one call.

    Args:
        rules: the user is muted while one of them says so.
        state: what they go by; it changes with the call.
        tell: pushes a frame.

    Attributes:
        on: whether the user is muted.
        missed: whether the user began to speak meanwhile, and speaks on.
    """

    def __init__(
        self,
        rules: Sequence[Mute],
        state: CallState,
        clock: Clock,
        tell: Callable[[Frame], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self._rules = rules
        self._state = state
        self._clock = clock
        self._tell = tell
        self._unmuted: list[Callable[[float], object]] = []
        self._until = float("-inf")
        self.on = self._is_wanted()
        self.missed = False

    def on_unmuted(self, unmuted: Callable[[float], object]) -> None:
        """Tell that a user is listened to who began to speak before."""
        self._unmuted.append(unmuted)

    def covers(self, user_speaking: bool) -> bool:
        """Whether words that come now were said while it was on."""
        return self.on or (self._clock() < self._until + LATE_WORDS_S and not user_speaking)

    async def update(self) -> None:
        """The state may have changed."""
        if not self._rules:
            return
        before, self.on = self.on, self._is_wanted()
        if before == self.on:
            return
        if self._tell is not None:
            await self._tell(UserMuteStartedFrame() if self.on else UserMuteStoppedFrame())
        if not self.on:
            self._until = self._clock()
            if self.missed:
                self.missed = False
                for unmuted in self._unmuted:
                    unmuted(self._until)

    def _is_wanted(self) -> bool:
        return any(rule(self._state) for rule in self._rules)
