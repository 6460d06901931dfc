"""The text that voices say: cuts it into pieces, and places its words by the times a voice reports. Pure.

Voices report words as they say them: without punctuation, with numbers spelled out, two as one. The context
holds words as they are written, so each reported word is looked up in the text.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from runner.frames import Frame, OutputAudioRawFrame, TTSTextFrame
from runner.turns.segments import Unit, last_cut, units

FIRST_CLAUSE_CHARS = 24
FIRST_CLAUSE_WORDS = 3
"""A reply's first piece may end at a comma if it has this length, so that speech begins sooner."""

FIRST_CLAUSE_CHARS_CJK = 8
"""The same in scripts that write no spaces."""

LONGEST_CHARS = 240
"""A longer sentence is cut after a clause, or else between two words, so that the voice does not run out of
text."""

SEEN_CHARS = LONGEST_CHARS + 64
"""What is looked at for one piece: an end behind `LONGEST_CHARS` is not used, only what follows one."""

PHRASE_CHARS = 60
"""Thai, Lao, Khmer and Burmese put a space between phrases and often nothing else: from this length on, such
a space ends a piece."""

# In all patterns here, a run of characters is entered at its beginning and not given back ("++"): a model
# that repeats one character would otherwise hold up the process, in time quadratic to its text.
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s)"
    # Greek asks with a semicolon.
    r"|(?:(?<=[\u0370-\u03ff\u1f00-\u1fff]);|\u037e)(?=\s)"
    # Chinese, Japanese, Arabic, Urdu, Indic, Armenian, Ethiopic, Burmese, Khmer, Tibetan, Mongolian, Syriac.
    r"|[。！？｡؟۔।॥։።፧፨။។៕༎᠃܀‼⁇⁈⁉]+[」』”’»）)]*"
    r"|\n+"
)
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)|[，；：、،؛፣፤፥၊៖]")
_PHRASE_END = re.compile(r"(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17e9])[ \t]+(?=\S)")
_BRACKETS = {"「": "」", "『": "』", "“": "”", "（": "）", "«": "»"}

LONGEST_ABBREVIATION = 32
"""Characters before the end of a sentence that are looked at."""

_NO_END = re.compile(
    r"(?:\b(?i:Mr|Mrs|Ms|Mx|Dr|Prof|St|Gen|Capt|Lt|Nr|vs|e\.g|i\.e|approx|ca|cf|vol|z\.B|d\.h)"
    r"|\b[A-HJ-Z]|(?:^|\n)\s*\d{1,2})\.$"
)
_MAY_END = re.compile(
    r"\b(?i:a\.m|p\.m|etc|No|Inc|Ltd|Co|Jr|Sr|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)
"""These end a sentence if the next word begins like one: "at 9 a.m. We open", not "at 9 a.m. on Monday"."""

_NEW_SENTENCE = re.compile(r"\s+[\"'“‘«(\[]?[A-Z]")


def piece_end(text: str, *, first: bool) -> int | None:
    """Where the first piece of this text ends, if that is certain; more text may follow.

    `first` is whether it begins a reply: then a clause of enough words is a piece, too.
    """
    seen = text[:SEEN_CHARS]
    end = next((m.end() for m in _SENTENCE_END.finditer(seen) if _ends_sentence(seen, m.end())), None)
    if end is None and first:
        end = next((match.end() for match in _CLAUSE_END.finditer(seen) if _is_enough(seen, match)), None)
    if end is None or end > PHRASE_CHARS:
        least = FIRST_CLAUSE_CHARS if first else PHRASE_CHARS
        end = next((m.end() for m in _PHRASE_END.finditer(seen) if m.start() >= least), end)
    if len(text) > LONGEST_CHARS and (end is None or end > LONGEST_CHARS):
        clauses = [match.end() for match in _CLAUSE_END.finditer(text, 0, LONGEST_CHARS)]
        return clauses[-1] if clauses else last_cut(text, LONGEST_CHARS)
    return end


class Piece(NamedTuple):
    """A piece of text for one request; `joined` if it follows the previous piece without a space."""

    text: str
    joined: bool = False


def cut(text: str) -> list[Piece]:
    """A whole text in pieces, as it is written; one if it is no longer than `LONGEST_CHARS`."""
    pieces, joined = [], False
    while len(text) > LONGEST_CHARS and (end := piece_end(text, first=False)) is not None:
        pieces.append(Piece(text[:end].strip(), joined))
        joined = not (text[end - 1].isspace() or text[end : end + 1].isspace())
        text = text[end:]
    return [*pieces, Piece(text.strip(), joined)] if text.strip() else pieces


class SentenceAggregator:
    """Streamed text in, complete sentences out, without what a voice cannot say."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True
        self._joined = False

    def feed(self, text: str) -> list[Piece]:
        """Add text; returns the pieces that are complete now."""
        self._text += text
        pieces: list[Piece] = []
        while (end := piece_end(self._text, first=self._first)) is not None:
            pieces += self._take(end)
        return pieces

    def flush(self) -> list[Piece]:
        """The reply is complete: returns the rest."""
        pieces = self._take(len(self._text))
        self.clear()
        return pieces

    def clear(self) -> None:
        """Drop the text so far: another reply begins."""
        self._text = ""
        self._first = True
        self._joined = False

    def _take(self, end: int) -> list[Piece]:
        raw, self._text = self._text[:end], self._text[end:]
        joined = self._joined and not raw[:1].isspace()
        if not (text := for_speech(raw)):
            self._joined = joined and not raw[-1:].isspace()
            return []
        self._first = False
        self._joined = not raw[-1:].isspace()
        return [Piece(text, joined)]


def _ends_sentence(text: str, end: int) -> bool:
    if end == len(text) and any(text.count(a) > text.count(b) for a, b in _BRACKETS.items()):
        return False  # the closing bracket belongs to the sentence
    begin = max(0, end - LONGEST_ABBREVIATION)
    if _MAY_END.search(text, begin, end):
        return bool(_NEW_SENTENCE.match(text, end))
    return not _NO_END.search(text, begin, end)


def _is_enough(text: str, clause_end: re.Match[str]) -> bool:
    clause = text[: clause_end.end()].strip()
    if clause_end.group() in "，；：、၊៖":
        return len(clause) >= FIRST_CLAUSE_CHARS_CJK
    return len(clause) >= FIRST_CLAUSE_CHARS and len(clause.split()) >= FIRST_CLAUSE_WORDS


# Pictographs, dingbats and arrows of that kind; joiners, variation selectors, keycaps, tags.
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]\n]*+)\]\([^)\[\s]*+\)")
_ADDRESS = re.compile(r"https?://(?:www\.)?([^\s/]++)((?:/\S*+)?)")
_AFTER_ADDRESS = ".,;:!?)"
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}|[-*+•]|>)[ \t]+", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*+(?:[-*_][ \t]*+){3,}+$|^[ \t:-]*+\|[ \t|:-]*+$", re.MULTILINE)
_SPACE_BEFORE_MARK = re.compile(r"(?<!\s)\s++([.,!?;:])")
_FENCE = re.compile(r"```\w*")
# A star that stands alone is "times", an underscore inside a word belongs to it.
_STRESS = re.compile(r"\*\*|(?<!\w)__?(?=\w)|(?<=[\w.,!?])__?(?!\w)|(?<!\s)\*|\*(?!\s)|`")


def for_speech(text: str) -> str:
    """The text to be spoken: without Markdown and emoji, addresses without their paths."""
    if not _SUSPECT.search(text):
        return text.strip()
    text = _FENCE.sub(" ", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _ADDRESS.sub(_host, text)
    text = _RULE.sub(" ", text)
    text = _LINE_MARK.sub("", text)
    text = _STRESS.sub("", text)
    text = _EMOJI.sub(" ", text)
    text = text.replace("|", " ")
    return re.sub(r"[ \t]{2,}", " ", _SPACE_BEFORE_MARK.sub(r"\1", text)).strip()


def _host(address: re.Match[str]) -> str:
    """An address without its path; the punctuation behind it stays."""
    path = address[2]
    return address[1] + path[len(path.rstrip(_AFTER_ADDRESS)) :]


_SUSPECT = re.compile(f"{_EMOJI.pattern}|[*_`#|>\\[•]|https?://|^[ \\t]*(?:[-+][ \\t]|---)", re.MULTILINE)
"""Matches text that needs cleaning; most text does not."""


_ANNOTATION = re.compile(
    r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}|<[^<>]*>|（[^（）]*）|【[^【】]*】|\*[^*]*\*|♪[^♪]*♪?|[♪♫♬🎵🎶]"
)


def spoken_part(text: str) -> str:
    """The text without surrounding space; empty if it is only an annotation, or has no word.

    Recognisers write annotations that nobody said: "[BLANK_AUDIO]", "(silence)", "*coughs*", "♪ music ♪".
    """
    text = text.strip()
    rest = _ANNOTATION.sub("", text)
    return text if any(char.isalnum() for char in rest) else ""


LOOK_AHEAD_CHARS = 40
"""How far after the last found word a reported word is searched; further on it is another, equal word."""

_MARKS = " \t\n.,;:!?…\"'“”‘’()[]{}«»—–-"


class SpokenWords:
    """Takes a text and the words that a voice reports; returns the text's own words with their times."""

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
    """Takes characters with times; returns whole words with times. A word may arrive in two pieces."""

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
        """There are no more characters: returns the last word."""
        words = [(self._word, self._since_ms)] if self._word else []
        self._word = ""
        return words


class Timeline:
    """Converts the times of messages to times since the beginning of the audio.

    Some services count from the beginning of each message, some from the first one; their documents and
    clients disagree. The second message decides: its first time is near 0, or near the audio before it.
    """

    def __init__(self) -> None:
        self._restarts: bool | None = None

    def place(self, starts_ms: Sequence[float], sound_before_ms: float) -> list[float]:
        """The times of one message, whose audio begins at `sound_before_ms`."""
        if self._restarts is None and sound_before_ms > 0 and starts_ms:
            self._restarts = starts_ms[0] < sound_before_ms / 2
        base_ms = sound_before_ms if self._restarts else 0.0
        return [base_ms + start for start in starts_ms]


class Spoken:
    """One sentence, spoken by one voice after the other.

    A word leaves when the audio has reached the next word: so a word that was cut, and that the next voice
    says again, appears once.

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
        """Take a frame from the voice; yields the frames that may leave."""
        if isinstance(frame, TTSTextFrame):
            self._words.append(frame)
        else:
            yield frame
        if isinstance(frame, OutputAudioRawFrame):
            self._sound_ms += len(frame.audio) * 500 / (frame.sample_rate * frame.num_channels)
        yield from self._heard_words()

    def finish(self) -> Iterator[Frame]:
        """The voice has said everything."""
        self._sound_ms = float("inf")
        yield from self._heard_words()

    def break_off(self) -> None:
        """The voice failed: the words that did not leave are still to be said."""
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
    """Takes a text and the positions that a voice reports; returns words with their times.

    espeak-ng splits words differently: "3:45" is three words, and sometimes two words are one. Each word of
    the text begins with the first position inside it; a skipped word begins with the next.
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
        """The words without a time get the last known time."""
        rest = [self._word(unit) for unit in self._words]
        self._words.clear()
        return rest

    def _word(self, unit: Unit) -> Word:
        return Word(unit.text, self._last_ms, unit.joined)
