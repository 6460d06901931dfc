"""The floor's state: the bot's replies, what the bot is doing, and whether the user is muted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from runner.eventloop.clock import Clock
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
)
from runner.turns.interruption import CallState, Mute


class Replies:
    """Numbers the bot's replies, and records which of them were interrupted.

    While `holding`, new replies are *held*: they are prepared but not played until `release`. An interruption
    drops them like any other reply.

    Attributes:
        holding: whether there may be held replies.
    """

    def __init__(self) -> None:
        self._last = 0
        self._dead = 0
        self._held_after: int | None = None
        self.holding = False
        self._released: list[Callable[[], object]] = []
        self._settled: list[Callable[[bool], object]] = []

    def new(self) -> int:
        """The id of a new reply."""
        self._last += 1
        return self._last

    @property
    def current(self) -> int:
        """The id of the last reply; 0 before the first."""
        return self._last

    def interrupt(self) -> None:
        """Mark all replies so far as interrupted."""
        self._dead = self._last
        self._settle(wanted=False)

    def is_live(self, reply_id: int | None) -> bool:
        """Whether audio of this reply may still be played; True for audio without a reply."""
        return reply_id is None or reply_id > self._dead

    # ------------------------------------------------------------ held replies

    def hold(self) -> None:
        """Hold replies that begin from now on until `release`."""
        if self._held_after is None:
            self._held_after = self._last
            self.holding = True

    def release(self) -> None:
        """Let held replies be played, unless they were interrupted."""
        self._settle(wanted=True)

    def _settle(self, *, wanted: bool) -> None:
        if self._held_after is not None:
            self._held_after = None
            self.holding = False
            for settled in tuple(self._settled):
                settled(wanted)
            for released in tuple(self._released):
                released()

    def is_held(self, item: object) -> bool:
        """Whether a frame or chunk belongs to a held reply."""
        reply_id = getattr(item, "reply_id", None)
        return self._held_after is not None and reply_id is not None and reply_id > self._held_after

    def on_release(self, released: Callable[[], object]) -> None:
        """Call `released` when held replies are released or dropped."""
        self._released.append(released)

    def on_settled(self, settled: Callable[[bool], object]) -> None:
        """Call `settled` with True if held replies are released, False if dropped; before `on_release`."""
        self._settled.append(settled)

    async def until_certain(self, reply_id: int | None) -> None:
        """Wait until a reply is no longer held, before an action that cannot be undone."""
        if self._held_after is None or reply_id is None or reply_id <= self._held_after:
            return
        certain = asyncio.Event()
        self._released.append(certain.set)
        try:
            await certain.wait()
        finally:
            self._released.remove(certain.set)


TELLING: tuple[type[Frame], ...] = (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)


class BotState:
    """Tracks the bot from the start of a reply until it has been played.

    Attributes:
        state: the state that mutes read.
    """

    def __init__(self) -> None:
        self.state = CallState()
        self._replying = False
        self._voicing = False
        self._tools: dict[str, str] = {}
        self._left_alone: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a reply is being prepared or played."""
        return self.state.bot_speaking or self._replying or self._voicing or self._tools_run()

    def _tools_run(self) -> bool:
        return bool(self._tools.keys() - self._left_alone)

    def interrupted(self) -> None:
        """All replies were interrupted; tools that still run no longer count as part of a reply."""
        self._left_alone = set(self._tools)
        self._replying = self._voicing = self.state.bot_speaking = False

    def see(self, frame: Frame, *, heard: bool) -> None:
        """Update from an observed frame; `heard` if the output pushed it, after playing."""
        match frame:
            case BotStartedSpeakingFrame():
                self.state.bot_speaking = True
            case BotStoppedSpeakingFrame():
                self.state.bot_speaking = False
                self.state.bot_has_spoken = True
            case LLMFullResponseStartFrame():
                self._replying = self._replying or not heard
            case LLMFullResponseEndFrame() if heard:
                self._replying = False
            case TTSStartedFrame():
                self._voicing = self._voicing or not heard
            case TTSStoppedFrame() if heard:
                self._voicing = False
            case FunctionCallInProgressFrame(call=call):
                self._tools[call.tool_call_id] = call.function_name
            case FunctionCallResultFrame(call=call) | FunctionCallCancelFrame(call=call):
                self._tools.pop(call.tool_call_id, None)
        if len(self.state.tools) != len(self._tools):
            self.state.tools = list(self._tools.values())


LATE_WORDS_S = 1.0
"""Time (s) after a mute in which transcripts count as said during it, unless the user is speaking."""


class UserMute:
    """The mute of one call.

    Args:
        rules: the user is muted while any of them returns True.
        state: the state passed to the rules.
        clock: the call's clock (s).
        push: pushes a frame.

    Attributes:
        on: whether the user is muted.
        missed: whether the user started to speak during the mute, and is still speaking.
    """

    def __init__(
        self,
        rules: Sequence[Mute],
        state: CallState,
        clock: Clock,
        push: Callable[[Frame], Coroutine[Any, Any, None]] | None,
    ) -> None:
        self._rules = rules
        self._state = state
        self._clock = clock
        self._push = push
        self._unmuted: list[Callable[[float], object]] = []
        self._until = float("-inf")
        self.on = self._is_wanted()
        self.missed = False

    def on_unmuted(self, unmuted: Callable[[float], object]) -> None:
        """Call `unmuted` when a mute ends while the user is speaking."""
        self._unmuted.append(unmuted)

    def covers(self, user_speaking: bool) -> bool:
        """Whether words that arrive now were said during the mute."""
        return self.on or (self._clock() < self._until + LATE_WORDS_S and not user_speaking)

    async def update(self) -> None:
        """Apply the rules to the current state."""
        if not self._rules:
            return
        before, self.on = self.on, self._is_wanted()
        if before == self.on:
            return
        if self._push is not None:
            await self._push(UserMuteStartedFrame() if self.on else UserMuteStoppedFrame())
        if not self.on:
            self._until = self._clock()
            if self.missed:
                self.missed = False
                for unmuted in self._unmuted:
                    unmuted(self._until)

    def _is_wanted(self) -> bool:
        return any(rule(self._state) for rule in self._rules)
