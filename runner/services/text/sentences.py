"""Cuts streaming text into pieces for a voice: the first clause early, then sentences. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from runner.turns.segments import last_cut

FIRST_CLAUSE_CHARS = 24
FIRST_CLAUSE_WORDS = 3
"""A reply's first piece may end at a comma when it is at least so long: speech begins sooner."""

FIRST_CLAUSE_CHARS_CJK = 8
"""The same in scripts that write no spaces."""

LONGEST_CHARS = 240
"""A sentence that goes on for longer is cut at its last clause, or else between two words, so that the voice
does not run dry."""

PHRASE_CHARS = 60
"""Thai, Lao, Khmer and Burmese put a space between phrases and often nothing else: from this length on, such
a space ends a piece."""

_SENTENCE_END = re.compile(
    r"[.!?…]+[\"'”’»)\]*_]*(?=\s)"
    # Greek asks with a semicolon.
    r"|(?:(?<=[\u0370-\u03ff\u1f00-\u1fff]);|\u037e)(?=\s)"
    # Chinese, Japanese, Arabic, Urdu, Indic, Armenian, Ethiopic, Burmese, Khmer, Tibetan, Mongolian, Syriac.
    r"|[。！？｡؟۔।॥։።፧፨။។៕༎᠃܀‼⁇⁈⁉]+[」』”’»）)]*"
    r"|\n+"
)
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)|[，；：、،؛፣፤፥၊៖]")
_PHRASE_END = re.compile(r"(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17e9])[ \t]+(?=\S)")
_BRACKETS = {"「": "」", "『": "』", "“": "”", "（": "）", "«": "»"}

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
    """Where the first piece of this text ends, if that is sure already; more text may follow.

    `first` is whether it begins a reply: then a clause of enough words is a piece, too.
    """
    end = next((m.end() for m in _SENTENCE_END.finditer(text) if _ends_sentence(text, m.end())), None)
    if end is None and first:
        end = next((match.end() for match in _CLAUSE_END.finditer(text) if _is_enough(text, match)), None)
    if end is None or end > PHRASE_CHARS:
        least = FIRST_CLAUSE_CHARS if first else PHRASE_CHARS
        end = next((m.end() for m in _PHRASE_END.finditer(text) if m.start() >= least), end)
    if len(text) > LONGEST_CHARS and (end is None or end > LONGEST_CHARS):
        clauses = [match.end() for match in _CLAUSE_END.finditer(text, 0, LONGEST_CHARS)]
        return clauses[-1] if clauses else last_cut(text, LONGEST_CHARS)
    return end


class Piece(NamedTuple):
    """What a voice is asked to say at once; `joined` if it follows the piece before without a space."""

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
    """Text in as it streams, sentences out as they are complete, without what a voice cannot say."""

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
        """The rest, as the reply is complete."""
        pieces = self._take(len(self._text))
        self.clear()
        return pieces

    def clear(self) -> None:
        """Forget what was fed: another reply begins."""
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
    before = text[:end]
    if end == len(text) and any(before.count(a) > before.count(b) for a, b in _BRACKETS.items()):
        return False  # the closing bracket belongs to the sentence
    if _MAY_END.search(before):
        return bool(_NEW_SENTENCE.match(text, end))
    return not _NO_END.search(before)


def _is_enough(text: str, clause_end: re.Match[str]) -> bool:
    clause = text[: clause_end.end()].strip()
    if clause_end.group() in "，；：、၊៖":
        return len(clause) >= FIRST_CLAUSE_CHARS_CJK
    return len(clause) >= FIRST_CLAUSE_CHARS and len(clause.split()) >= FIRST_CLAUSE_WORDS


# Pictographs, dingbats and arrows of that kind; joiners, variation selectors, keycaps, tags.
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_ADDRESS = re.compile(r"https?://(?:www\.)?([^\s/]+)(/[^\s]*?)?(?=[.,;:!?)]*(?:\s|$))")
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}|[-*+•]|>)[ \t]+", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$|^[ \t|:-]*\|[ \t|:-]*$", re.MULTILINE)
_FENCE = re.compile(r"```\w*")
# A star that stands alone is "times", an underscore inside a word belongs to it.
_STRESS = re.compile(r"\*\*|(?<!\w)__?(?=\w)|(?<=[\w.,!?])__?(?!\w)|(?<!\s)\*|\*(?!\s)|`")


def for_speech(text: str) -> str:
    """The text as it is to be said. An address is said without its path."""
    if not _SUSPECT.search(text):
        return text.strip()
    text = _FENCE.sub(" ", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _ADDRESS.sub(r"\1", text)
    text = _RULE.sub(" ", text)
    text = _LINE_MARK.sub("", text)
    text = _STRESS.sub("", text)
    text = _EMOJI.sub(" ", text)
    text = text.replace("|", " ")
    return re.sub(r"[ \t]{2,}", " ", re.sub(r"\s+([.,!?;:])", r"\1", text)).strip()


_SUSPECT = re.compile(f"{_EMOJI.pattern}|[*_`#|>\\[•]|https?://|^[ \\t]*(?:[-+][ \\t]|---)", re.MULTILINE)
"""Most text has none of it."""


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
