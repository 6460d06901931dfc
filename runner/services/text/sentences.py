"""Cuts streaming text into pieces that a voice can say: the first clause early, then sentences. Pure."""

from __future__ import annotations

import re

from runner.services.text.spoken_text import for_speech

FIRST_CLAUSE_CHARS = 24
FIRST_CLAUSE_WORDS = 3
"""A reply's first piece may end at a comma when it is at least so long: speech begins sooner."""

FIRST_CLAUSE_CHARS_CJK = 8
"""The same in scripts that write no spaces."""

LONGEST_CHARS = 240
"""A sentence that goes on for longer is cut at its last clause, so that the voice does not run dry."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’»)\]*_]*(?=\s)|[。！？｡؟।]+[」』”）]*|\n+")
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)|[，；：、]")

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
    for match in _SENTENCE_END.finditer(text):
        if _ends_sentence(text, match.end()):
            return match.end()
    if first:
        return next((match.end() for match in _CLAUSE_END.finditer(text) if _is_enough(text, match)), None)
    if len(text) > LONGEST_CHARS:
        clauses = [match.end() for match in _CLAUSE_END.finditer(text)]
        return clauses[-1] if clauses else None
    return None


class SentenceAggregator:
    """Text in as it streams, sentences out as they are complete, without what a voice cannot say."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Add text; returns the pieces that are complete now."""
        self._text += text
        pieces = []
        while (end := piece_end(self._text, first=self._first)) is not None:
            piece, self._text = for_speech(self._text[:end]), self._text[end:]
            if piece:
                self._first = False
                pieces.append(piece)
        return pieces

    def flush(self) -> str:
        """The rest, as the reply is complete; empty if there is none."""
        rest = for_speech(self._text)
        self.clear()
        return rest

    def clear(self) -> None:
        """Forget what was fed: another reply begins."""
        self._text = ""
        self._first = True


def _ends_sentence(text: str, end: int) -> bool:
    before = text[:end]
    if _MAY_END.search(before):
        return bool(_NEW_SENTENCE.match(text, end))
    return not _NO_END.search(before)


def _is_enough(text: str, clause_end: re.Match[str]) -> bool:
    clause = text[: clause_end.end()].strip()
    if clause_end.group() in "，；：、":
        return len(clause) >= FIRST_CLAUSE_CHARS_CJK
    return len(clause) >= FIRST_CLAUSE_CHARS and len(clause.split()) >= FIRST_CLAUSE_WORDS
