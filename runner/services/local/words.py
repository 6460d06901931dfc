"""Which word is said when: from espeak-ng's positions in the text to the words of the text. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from runner.turns.segments import Unit, units


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text as it is written, and when it begins, in ms from the beginning of the sound."""

    text: str
    offset_ms: float
    joined: bool = False
    """Whether it follows the word before it without a space."""


class WordPlacer:
    """Text and the positions at which the voice is, in; words with their times, out.

    espeak-ng's words are not ours: it says "3:45" as three words and now and then says two as one. Each
    of ours begins with the first position inside of it; one that was passed over begins with the next.
    """

    def __init__(self, text: str) -> None:
        self._words = deque(units(text))
        self._last_ms = 0.0

    def reached(self, position: int, offset_ms: float) -> list[Word]:
        """The voice says what stands at this index of the text: the words that this tells the time of."""
        self._last_ms = max(self._last_ms, offset_ms)
        placed = []
        while self._words and self._words[0].start <= position:
            placed.append(self._word(self._words.popleft()))
        return placed

    def finish(self) -> list[Word]:
        """The words that the voice never told of: they go with the last one."""
        rest = [self._word(unit) for unit in self._words]
        self._words.clear()
        return rest

    def _word(self, unit: Unit) -> Word:
        return Word(unit.text, self._last_ms, unit.joined)
