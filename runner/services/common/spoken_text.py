"""Splits text for voices into pieces, and assigns the times that a voice reports to its words. Pure.

Voices report words as spoken: without punctuation, with numbers spelled out, sometimes two as one. The
context keeps words as written, so each reported word is looked up in the text.
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
"""Minimum length of a reply's first piece to end at a comma, so that speech starts sooner."""

FIRST_CLAUSE_CHARS_CJK = 8
"""The same in scripts without spaces."""

LONGEST_CHARS = 240
"""Maximum length of a piece. A longer sentence is cut after a clause, else between words, so that the voice
does not run out of text."""

SEEN_CHARS = LONGEST_CHARS + 64
"""Number of characters examined for one piece, including some after the latest possible end."""

PHRASE_CHARS = 60
"""Minimum length of a piece to end at a space in Thai, Lao, Khmer and Burmese, which often only put spaces
between phrases."""

# All patterns here match runs of characters possessively ("++") and only from their start. Otherwise a model
# that repeats one character would cost quadratic time.
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]*_]*+(?=\s)"
    # The Greek question mark is a semicolon.
    r"|(?:(?<=[\u0370-\u03ff\u1f00-\u1fff]);|\u037e)(?=\s)"
    # Chinese, Japanese, Arabic, Urdu, Indic, Armenian, Ethiopic, Burmese, Khmer, Tibetan, Mongolian, Syriac.
    r"|[。！？｡؟۔।॥։።፧፨།။។៕༎᠃܀‼⁇⁈⁉]+[」』”’»）)]*"
    r"|\n+"
)
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)|[，；：、،؛፣፤፥၊៖]")
_PHRASE_END = re.compile(r"(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17e9])[ \t]+(?=\S)")
_BRACKETS = {"「": "」", "『": "』", "“": "”", "（": "）", "«": "»"}

LONGEST_ABBREVIATION = 32
"""Number of characters before a sentence's end that are examined."""

_NO_END = re.compile(
    r"(?:\b(?i:Mr|Mrs|Ms|Mx|Dr|Prof|St|Gen|Capt|Lt|Nr|vs|e\.g|i\.e|approx|ca|cf|vol|z\.B|d\.h|u\.a|bzw|inkl"
    r"|Sra|Srta|Dra|Uds?|Sig|Mme|Mlle|т\.е|т\.к|проф|ул|им)"
    r"|\b[A-HJ-Z]|(?:^|\n)\s*\d{1,2})\.$"
)
_MAY_END = re.compile(
    r"\b(?i:a\.m|p\.m|etc|No|Inc|Ltd|Co|Jr|Sr|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
    r"|usw|Str|т\.д|т\.п|руб|др)\.$"
)
"""These end a sentence if the next word begins like one: "at 9 a.m. We open", not "at 9 a.m. on Monday"."""

_NEW_SENTENCE = re.compile(r"\s+[\"'“‘«(\[]?[A-ZÄÖÜА-ЯЁ]")


def piece_end(text: str, *, first: bool) -> int | None:
    """Where the first piece of this text ends; None if that is not certain until more text comes.

    `first`: whether it begins a reply; then a long enough clause is a piece, too.
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
    """Split a whole text into pieces; one if it has at most `LONGEST_CHARS`."""
    pieces, joined = [], False
    while len(text) > LONGEST_CHARS and (end := piece_end(text, first=False)) is not None:
        pieces.append(Piece(text[:end].strip(), joined))
        joined = not (text[end - 1].isspace() or text[end : end + 1].isspace())
        text = text[end:]
    return [*pieces, Piece(text.strip(), joined)] if text.strip() else pieces


class SentenceAggregator:
    """Turns streamed text into complete sentences, without what a voice cannot say."""

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
# Chinese and Japanese punctuation follows an address without a space.
_ADDRESS = re.compile(
    r"https?://(?:www\.)?([^\s/。，！？、；：）」』】》]++)((?:/[^\s。，！？、；：）」』】》]*+)?)"
)
_AFTER_ADDRESS = ".,;:!?)"
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}|[-*+•]|>)[ \t]+", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*+(?:[-*_][ \t]*+){3,}+$|^[ \t:-]*+\|[ \t|:-]*+$", re.MULTILINE)
_SPACE_BEFORE_MARK = re.compile(r"(?<!\s)\s++([.,!?;:])")
_FENCE = re.compile(r"```\w*")
# A star between spaces means "times"; an underscore inside a word is part of it.
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
"""Maximum distance after the last found word at which a reported word is searched."""

_MARKS = " \t\n.,;:!?…\"'“”‘’()[]{}«»—–-"


class SpokenWords:
    """Maps the words that a voice reports to the words of the text, with their times."""

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
        """The voice says this word at this time; returns the text's words that now have a time."""
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
    """Combines characters with times to words with times. A word may arrive in two parts."""

    def __init__(self) -> None:
        self._word = ""
        self._since_ms = 0.0

    def feed(self, chars: Sequence[str], starts_ms: Sequence[float]) -> list[tuple[str, float]]:
        """Add characters; returns the words that they complete."""
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
    """One sentence, spoken by one voice and continued by another if it fails.

    A word is passed on when the audio has reached the next word, so a word that was cut off and is repeated
    by the next voice appears only once.

    Attributes:
        left: the text still to be spoken.
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
        """The voice failed: the words that were not passed on are still to be spoken."""
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
        """The voice has reached this index of the text; returns the words whose time is known now."""
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
