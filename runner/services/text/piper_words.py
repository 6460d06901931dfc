"""Which word of a text Piper says when, from its phonemes. Pure.

espeak-ng makes words of phonemes, parted by spaces, and they are not ours: "there are" is one, "42" two.
Where their number is that of the text's words, each is the next word; else each stands as far in the text
as it stands among the phonemes.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.turns.segments import units

SPACE = " "


class PhonemeWords:
    """A text and its phonemes, sentence by sentence, in; positions in the text and their samples, out."""

    def __init__(self, text: str, sentences: Sequence[Sequence[str]]) -> None:
        lengths = [len(word) for sentence in sentences for word in _words(sentence)]
        starts = [unit.start for unit in units(text)]
        if len(lengths) == len(starts):
            self._positions = starts
        else:
            total = sum(lengths) or 1
            before = [sum(lengths[:index]) for index in range(len(lengths))]
            self._positions = [round(length / total * len(text)) for length in before]
        self._next = 0

    def place(
        self, phonemes: Sequence[str], durations: Sequence[tuple[str, int]], samples: int
    ) -> list[tuple[int, int]]:
        """The words of one sentence: (index of the first character, sample at which it begins).

        `durations` is how many samples each phoneme takes; without it the sentence's own are shared out
        evenly.
        """
        if not durations:
            each = samples / (len(phonemes) or 1)
            durations = [(phoneme, round(each)) for phoneme in phonemes]
        placed = []
        at, awaited = 0, True
        for phoneme, length in durations:
            if phoneme == SPACE:
                awaited = True
            elif awaited and phoneme not in ("^", "$"):  # Piper's marks of a sentence's two ends
                awaited = False
                if self._next < len(self._positions):
                    placed.append((self._positions[self._next], min(at, samples)))
                    self._next += 1
            at += length
        return placed


def _words(sentence: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = [[]]
    for phoneme in sentence:
        if phoneme == SPACE:
            words.append([])
        else:
            words[-1].append(phoneme)
    return [word for word in words if word]
