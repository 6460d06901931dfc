"""Which word of the text is said when, from what a voice tells of its own words. Pure.

Voices tell words as they say them: without punctuation, numbers spelled out, two as one. The listener's
memory shall hold the words as they are written, so each told word is looked for in the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.services.local.words import Word, WordPlacer
from runner.turns.segments import units

LOOK_AHEAD_CHARS = 40
"""A told word is looked for so far behind the last one that was found; further on is another word like it."""

_MARKS = " \t\n.,;:!?…\"'“”‘’()[]{}«»—–-"


class SpokenWords:
    """A text and its words as a voice tells them, in; the text's own words with their times, out."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._cursor = 0
        self._placer = WordPlacer(text)
        self._told = False

    @property
    def told(self) -> bool:
        """Whether the voice has told the time of any word."""
        return self._told

    def said(self, word: str, offset_ms: float) -> list[Word]:
        """The voice says this word at this time: the words of the text that this places."""
        bare = word.casefold().strip(_MARKS)
        if not bare:
            return []
        found = self._text.find(bare, self._cursor, self._cursor + len(bare) + LOOK_AHEAD_CHARS)
        if found < 0:
            return []
        self._told = True
        self._cursor = found + len(bare)
        return self._placer.reached(found, offset_ms)

    def rest(self) -> list[Word]:
        """What the voice did not tell of goes with its last word."""
        return self._placer.finish()


class CharacterTimes:
    """Characters with their times, in; whole words with theirs, out. A word may come in two pieces."""

    def __init__(self) -> None:
        self._word = ""
        self._since_ms = 0.0

    def feed(self, chars: Sequence[str], starts_ms: Sequence[float]) -> list[tuple[str, float]]:
        """Take characters; returns the words that have ended with them."""
        words = []
        for char, start_ms in zip(chars, starts_ms, strict=True):
            if char.isspace():
                words += self.flush()
                continue
            if self._word and units(self._word + char)[-1].joined:
                words += self.flush()
            if not self._word:
                self._since_ms = start_ms
            self._word += char
        return words

    def flush(self) -> list[tuple[str, float]]:
        """The word that has not ended yet: there are no more characters."""
        words = [(self._word, self._since_ms)] if self._word else []
        self._word = ""
        return words


class Timeline:
    """Places times that start anew with each message, or go on from the first one, on one line.

    Services differ in this, and so do their documents and their clients. The first message that does not
    begin with the sound decides for all: its first time is near 0, or near what was heard before it.
    """

    def __init__(self) -> None:
        self._start_anew: bool | None = None

    def place(self, starts_ms: Sequence[float], sound_before_ms: float) -> list[float]:
        """`starts_ms` of one message, whose sound begins at `sound_before_ms`, on the common line."""
        if self._start_anew is None and sound_before_ms > 0 and starts_ms:
            self._start_anew = starts_ms[0] < sound_before_ms / 2
        base_ms = sound_before_ms if self._start_anew else 0.0
        return [base_ms + start for start in starts_ms]
