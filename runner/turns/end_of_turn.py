"""Whether the user's pause is the end of the turn. Pure.

The VAD says when speech ended, the recogniser what was said, and the analyzer how long the silence must
be for this to be a whole turn: hardly longer after "What time is it?", longer after "I would like a, um".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from runner.turns.words import ENGLISH, Words


@dataclass(frozen=True, kw_only=True)
class TurnPauses:
    """Silence (s) after the end of speech that ends a turn; never less than the VAD's `stop_secs`.

    With `VADParams(stop_secs=0.2)` and `unsure_s=0.5`, a question is answered 0.3 s sooner.
    """

    complete_s: float = 0.0
    unsure_s: float = 0.0
    unfinished_s: float = 1.6


class TurnAnalyzer(ABC):
    """Judges one call's turns; `TransportParams(turn_analyzer=…)`.

    Attributes:
        wants_sound: whether `hear` must be given the caller's sound.
        slow: whether `pause_s` takes milliseconds: then it is called in a thread.
    """

    wants_sound = False
    slow = False

    @abstractmethod
    def pause_s(self, text: str) -> float:
        """How long (s) the silence after this text must be for the turn to be over."""

    def hear(self, pcm: bytes, sample_rate: int) -> None:  # noqa: B027 - most need no sound
        """Sound of the caller, mono; called for every piece of it if `wants_sound`."""

    def reset(self) -> None:  # noqa: B027 - most remember nothing
        """The turn is over: what was said does not count for the next."""


@dataclass
class RuleTurnAnalyzer(TurnAnalyzer):
    """The default: punctuation, fillers, words that ask for more, half-said numbers."""

    pauses: TurnPauses = field(default_factory=TurnPauses)
    words: Words = ENGLISH

    def pause_s(self, text: str) -> float:
        if self.words.is_unfinished(text):
            return self.pauses.unfinished_s
        return self.pauses.complete_s if self.words.is_complete(text) else self.pauses.unsure_s
