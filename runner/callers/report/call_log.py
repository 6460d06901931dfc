"""What the phone notices during a call."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.callers.sound.playout import Cleared, MarkReached


@dataclass(frozen=True, slots=True)
class Passed:
    """One message: `at` s after the call began, in which direction, its text."""

    at: float
    to_bot: bool
    text: str


@dataclass(slots=True)
class CallLog:
    """What was noticed during a call; times are on the loop's clock (s).

    Attributes:
        late_s: how late each message with sound left: the phone's own lag.
        lost: messages with the caller's sound that the line lost.
        violations: sentences about what the bot sent against the provider's rules.
        keys: what the bot pressed.
        cleared: when the bot had the phone drop what waited, and how much that was.
        marks: marks that were answered, in order.
        messages: all that passed, if they are kept.
        unplayed_s: sound (s) that still waited when the bot hung up.
    """

    late_s: list[float] = field(default_factory=list)
    lost: int = 0
    violations: list[str] = field(default_factory=list)
    keys: str = ""
    cleared: list[Cleared] = field(default_factory=list)
    marks: list[MarkReached] = field(default_factory=list)
    messages: list[Passed] = field(default_factory=list)
    unplayed_s: float = 0.0
