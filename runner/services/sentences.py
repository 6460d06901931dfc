"""Cuts streaming text into pieces that a voice can say: the first clause early, then sentences."""

from __future__ import annotations

import re

FIRST_CLAUSE_CHARS = 24
"""A reply's first piece may end at a comma when it is at least so long: speech begins sooner."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n+")
_CLAUSE_END = re.compile(r"[,;:–—](?=\s)|[，；：]")
_NO_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|etc|e\.g|i\.e|a\.m|p\.m|approx)|\b[A-Z])\.$")


class SentenceAggregator:
    """Text in as it streams, sentences out as they are complete."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Add text; returns the pieces that are complete now."""
        self._text += text
        pieces = []
        while (end := self._end()) is not None:
            piece, self._text = self._text[:end].strip(), self._text[end:]
            if piece:
                self._first = False
                pieces.append(piece)
        return pieces

    def flush(self) -> str:
        """The rest, as the reply is complete; empty if there is none."""
        rest = self._text.strip()
        self.clear()
        return rest

    def clear(self) -> None:
        """Forget what was fed: another reply begins."""
        self._text = ""
        self._first = True

    def _end(self) -> int | None:
        for match in _SENTENCE_END.finditer(self._text):
            if not _NO_END.search(self._text[: match.end()]):
                return match.end()
        if self._first:
            for match in _CLAUSE_END.finditer(self._text):
                if match.end() >= FIRST_CLAUSE_CHARS:
                    return match.end()
        return None
