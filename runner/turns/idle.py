"""What the bot does about a user who says nothing. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Say:
    """The bot says this text as it stands."""

    text: str


@dataclass(frozen=True)
class AskLLM:
    """The language model is told this, and answers."""

    instruction: str


@dataclass(frozen=True)
class EndCall:
    """The call ends when `text` has been heard."""

    text: str = ""


Step = Say | AskLLM | EndCall


@dataclass(frozen=True)
class IdlePrompt:
    """After `after_s` seconds in which nobody speaks: the first of `steps`; as long again: the next.

    A text is said as it stands. When the user speaks, it begins anew.

        IdlePrompt(8, ["Are you still there?", EndCall("I will hang up then. Goodbye.")])
    """

    after_s: float = 8.0
    steps: Sequence[Step | str] = field(default=("Are you still there?",))

    def step(self, index: int) -> Step | None:
        """What to do for the silence numbered `index`, from 0; None: nothing more."""
        if index >= len(self.steps):
            return None
        step = self.steps[index]
        return Say(step) if isinstance(step, str) else step
