"""When the user is not listened to. Pure: the state of the call in, yes or no out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class CallState:
    """What a mute may go by.

    Attributes:
        bot_speaking: the listener hears the bot.
        bot_has_spoken: the listener has heard a speech of the bot to its end, or interrupted one.
        tools: names of the tools that run.
    """

    bot_speaking: bool = False
    bot_has_spoken: bool = False
    tools: list[str] = field(default_factory=list)


Mute = Callable[[CallState], bool]
"""Whether the user is muted: one of these, or a function of your own."""


@dataclass(frozen=True)
class MuteDuringTools:
    """While a tool runs that must not be disturbed: one of `names`, or any."""

    names: Collection[str] | None = None

    def __call__(self, state: CallState) -> bool:
        return any(self.names is None or tool in self.names for tool in state.tools)


@dataclass(frozen=True)
class MuteUntilBotSpoke:
    """Until the bot's first speech is over: a greeting, a notice that must be heard."""

    def __call__(self, state: CallState) -> bool:
        return not state.bot_has_spoken


@dataclass(frozen=True)
class MuteWhileBotSpeaks:
    """While the bot speaks."""

    def __call__(self, state: CallState) -> bool:
        return state.bot_speaking
