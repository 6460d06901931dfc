"""Which word of a text is spoken when, from the times that a voice reports. Pure.

Voices report words as they say them: without punctuation, with numbers spelled out, two as one. The
memory holds words as they are written, so each reported word is looked up in the text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from runner.frames import Frame, OutputAudioRawFrame, TTSTextFrame
from runner.turns.segments import Unit, units

LOOK_AHEAD_CHARS = 40
"""A reported word is looked for this far behind the last one found; further on is another word like it."""

_MARKS = " \t\n.,;:!?…\"'“”‘’()[]{}«»—–-"


class SpokenWords:
    """A text and its words as a voice reports them, in; the text's own words with their times, out."""

    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._cursor = 0
        self._placer = WordPlacer(text)
        self._has_times = False

    @property
    def has_times(self) -> bool:
        """Whether the voice has sent the time of any word."""
        return self._has_times

    def said(self, word: str, offset_ms: float) -> list[Word]:
        """The voice says this word at this time: the words of the text that this places."""
        bare = word.casefold().strip(_MARKS)
        if not bare:
            return []
        found = self._text.find(bare, self._cursor, self._cursor + len(bare) + LOOK_AHEAD_CHARS)
        if found < 0:
            return []
        self._has_times = True
        self._cursor = found + len(bare)
        return self._placer.reached(found, offset_ms)

    def rest(self) -> list[Word]:
        """Words that the voice did not report get the time of its last one."""
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
    """Places times that restart with each message, or go on from the first one, on one line.

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


class Spoken:
    """One sentence, by one voice after the other.

    A word goes on when the sound has reached the next one, never before: so a word that was cut, and is said
    again by the next voice, is written down once.

    Attributes:
        left: what is still to be said.
    """

    def __init__(self, text: str) -> None:
        self.left = text
        self._base_ms = 0.0
        self._sound_ms = 0.0
        self._words: list[TTSTextFrame] = []
        self._reported: list[str] = []

    def begin(self, words: Sequence[TTSTextFrame]) -> None:
        """A voice begins with `left`; `words` are its words if it reports none itself."""
        self._base_ms += self._sound_ms
        self._sound_ms = 0.0
        self._words = list(words)
        self._reported = []

    def take(self, frame: Frame) -> Iterator[Frame]:
        """What the voice yields; gives what may go on."""
        if isinstance(frame, TTSTextFrame):
            self._words.append(frame)
        else:
            yield frame
        if isinstance(frame, OutputAudioRawFrame):
            self._sound_ms += len(frame.audio) * 500 / (frame.sample_rate * frame.num_channels)
        yield from self._heard_words()

    def finish(self) -> Iterator[Frame]:
        """The voice has said it all."""
        self._sound_ms = float("inf")
        yield from self._heard_words()

    def break_off(self) -> None:
        """The voice failed: the words that did not go on are still to be said."""
        self._words.clear()
        position = 0
        for word in self._reported:
            found = self.left.find(word, position)
            position = found + len(word) if found >= 0 else position
        self.left = self.left[position:].strip()

    def _heard_words(self) -> Iterator[Frame]:
        self._words.sort(key=_offset_ms)
        while self._words and self._end_ms() <= self._sound_ms:
            word = self._words.pop(0)
            self._reported.append(word.text.strip())
            yield replace(word, audio_offset_ms=self._base_ms + _offset_ms(word))

    def _end_ms(self) -> float:
        """When the first of the words ends: with the next; the last one with the sentence."""
        return _offset_ms(self._words[1]) if len(self._words) > 1 else float("inf")


def _offset_ms(word: TTSTextFrame) -> float:
    return word.audio_offset_ms or 0.0


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
        """The voice says the text at this index: the words whose time is known now."""
        self._last_ms = max(self._last_ms, offset_ms)
        placed = []
        while self._words and self._words[0].start <= position:
            placed.append(self._word(self._words.popleft()))
        return placed

    def finish(self) -> list[Word]:
        """The words without a time: they go with the last one that has one."""
        rest = [self._word(unit) for unit in self._words]
        self._words.clear()
        return rest

    def _word(self, unit: Unit) -> Word:
        return Word(unit.text, self._last_ms, unit.joined)
