"""Splits text of any script into words and spoken units. Pure.

Most scripts put spaces between words. Chinese and Japanese do not; their units are characters. Neither do
Thai, Lao, Khmer, Burmese and Tibetan; their units are a letter with its vowels and marks, or a syllable, so a
letter is never separated from its marks.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import NamedTuple, Protocol

_HAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_KANA = (
    "\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\uff66-\uff9d"
)
_CJK = _HAN + _KANA
_CJK_MARKS = "\u3099\u309a\u30fc\uff70\uff9e\uff9f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_CJK_PUNCTUATION = (
    "\u3001-\u3004\u3008-\u3020\u3030\u303d-\u303f\u30fb\ufe30-\ufe4f\uff00-\uff0f\uff1a-\uff20"
    "\uff3b-\uff40\uff5b-\uff65"
)

_THAI = "\u0e01-\u0e2f\u0e40-\u0e46\u0e50-\u0e59"
_LAO = "\u0e81-\u0eaf\u0ebd-\u0ec6\u0ed0-\u0edf"
_THAI_LAO_MARKS = "\u0e30-\u0e3a\u0e45\u0e47-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece"
_THAI_LAO_BEFORE = "\u0e40-\u0e44\u0ec0-\u0ec4"
_KHMER = "\u1780-\u17b3\u17d7\u17dc\u17e0-\u17e9"
_KHMER_MARKS = "\u17b4-\u17d1\u17d3\u17dd"
_BURMESE = (
    "\u1000-\u102a\u103f-\u1049\u104c-\u1055\u105a-\u105d"
    "\u1061\u1065\u1066\u106e-\u1070\u1075-\u1081\u108e\u1090-\u1099"
)
_BURMESE_MARKS = (
    "\u102b-\u1038\u103a-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d"
    "\u108f\u109a-\u109d"
)
_TIBETAN = "\u0f00\u0f20-\u0f33\u0f40-\u0fbc"

_SOUTH_EAST = _THAI + _LAO + _KHMER + _BURMESE + _TIBETAN
_OPENING = "\"'(\\[{“‘«‹「『（［｛〈《【〔〖¡¿"

_UNSPACED = f"[{_CJK}{_SOUTH_EAST}]"
_FIRST_UNSPACED = "\u0e01"
_SIGN = rf"[^\s\w{_CJK}{_SOUTH_EAST}{_CJK_PUNCTUATION}{_OPENING}]"
_STARTS = (
    # Possessive, and matched only from their start, to avoid backtracking: see `common/spoken_text`.
    rf"(?:(?<![{_OPENING}])[{_OPENING}]++)?(?:"
    rf"[{_CJK}][{_CJK_MARKS}]*"
    rf"|[{_THAI_LAO_BEFORE}]?[{_THAI}{_LAO}][{_THAI_LAO_MARKS}]*"
    rf"|[{_KHMER}](?:[{_KHMER_MARKS}]|\u17d2[\u1780-\u17b3]?)*"
    # A consonant with asat (U+103A), or with a stacked consonant (U+1039), ends the syllable before it.
    rf"|[{_BURMESE}](?:[{_BURMESE_MARKS}]|\u1039[\u1000-\u1021]?|[\u1000-\u1021](?=\u1037?\u103a|\u1039))*"
    rf"|[{_TIBETAN}]+[\u0f0b\u0f0c]?"
    rf"|(?:(?<!{_SIGN}){_SIGN}++)?[^\W{_CJK}{_SOUTH_EAST}]"
    rf"[^\s{_CJK}{_SOUTH_EAST}{_CJK_PUNCTUATION}{_OPENING}]*"
    r")"
)
_ASCII_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_THAI_RUN = re.compile("[\u0e01-\u0e4e]+")
_TIGHT_END = f"[{_CJK}{_CJK_MARKS}{_CJK_PUNCTUATION}]$"
_TIGHT_START = f"[{_CJK}{_CJK_PUNCTUATION}]"
_TIGHT_MARK = f"[{_CJK_PUNCTUATION}]"

_INSIDE_WORDS = "'’-\u00b7\u05f3\u05f4\u200c\u200d"
"""Characters that belong to a word if a letter follows: apostrophe, hyphen, geresh, joiners."""


class Unit(NamedTuple):
    """The smallest unit of speech: a word with its punctuation, or a character of a script without spaces.

    Attributes:
        text: the text as written.
        start: index of its first character in the whole text.
        joined: whether it follows the unit before it without a space.
    """

    text: str
    start: int
    joined: bool


class _Parser(Protocol):
    def parse(self, sentence: str) -> list[str]: ...


def units(text: str) -> list[Unit]:
    """The units of a text, in order. Every non-space character is in exactly one unit."""
    found = []
    for chunk in re.finditer(r"\S+", text):
        start, written = chunk.start(), chunk.group()
        if not is_unspaced(written):
            found.append(Unit(written, start, False))
            continue
        cuts = [0, *(match.start() for match in _compiled(_STARTS).finditer(written))]
        cuts = sorted({*cuts, len(written)})
        if len(cuts) > 2 and not any(character.isalnum() for character in written[: cuts[1]]):
            del cuts[1]  # a dash or an ellipsis before the first word
        for begin, end in pairwise(cuts):
            found.append(Unit(written[begin:end], start + begin, begin > 0))
    return found


def is_unspaced(text: str) -> bool:
    """Whether the text has letters of a script without spaces between words."""
    return max(text, default="") >= _FIRST_UNSPACED and bool(_compiled(_UNSPACED).search(text))


def bare_word(text: str) -> str:
    """A word without the punctuation around it, but with its combining marks."""
    begin, end = 0, len(text)
    while begin < end and not text[begin].isalnum():
        begin += 1
    while end > begin and not (text[end - 1].isalnum() or unicodedata.category(text[end - 1])[0] == "M"):
        end -= 1
    return text[begin:end]


def join_units(parts: Iterable[tuple[str, bool]]) -> str:
    """The text of units given as (text, joined), with the original spacing."""
    text = ""
    for part, joined in parts:
        if part:
            text += part if joined or not text else f" {part}"
    return text


def join_texts(*texts: str) -> str:
    """Join consecutive texts, such as transcripts; Chinese and Japanese ones without a space."""
    joined = ""
    for text in map(str.strip, texts):
        if text:
            joined += text if not joined or _is_tight(joined, text) else f" {text}"
    return joined


def _is_tight(before: str, after: str) -> bool:
    if before[-1] < _FIRST_UNSPACED and after[0] < _FIRST_UNSPACED:
        return False
    if _compiled(_TIGHT_MARK).search(before[-1]) or _compiled(_TIGHT_MARK).match(after):
        return True
    return bool(_compiled(_TIGHT_END).search(before) and _compiled(_TIGHT_START).match(after))


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    Chinese and Japanese are split by character and Thai by dictionary; Lao, Khmer, Burmese and Tibetan by
    letter or syllable, which gives a few more units than words.
    """
    text = text.lower()
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return [part for word in _spaced_words(text) for part in _split(word)]


def _spaced_words(text: str) -> list[str]:
    words, word = [], ""
    for index, character in enumerate(text):
        if character.isalnum() or (word and unicodedata.category(character)[0] == "M"):
            word += character
        elif word and character in _INSIDE_WORDS and text[index + 1 : index + 2].isalnum():
            word += "'" if character == "’" else character
        elif word:
            words.append(word)
            word = ""
    return [*words, word] if word else words


def _split(word: str) -> list[str]:
    if not is_unspaced(word):
        return [word]
    parts: list[str] = []
    end = 0
    for thai in _THAI_RUN.finditer(word):
        parts += [unit.text for unit in units(word[end : thai.start()])]
        parts += _thai_parser().parse(thai.group())
        end = thai.end()
    return parts + [unit.text for unit in units(word[end:])]


def last_cut(text: str, limit: int) -> int:
    """Where to cut a text that is too long for a voice: between words, after at most `limit` characters. A
    word longer than `limit` is cut inside."""
    spaces = [match.end() for match in re.finditer(r"\s+", text[: limit + 1]) if match.start() > 0]
    if spaces:
        return spaces[-1]
    starts = [unit.start for unit in units(text[: limit + 1])][1:]
    if (thai := _THAI_RUN.search(text[: 2 * limit])) and thai.start() < limit // 2:
        position, starts = thai.start(), []
        for word in _thai_parser().parse(thai.group()):
            starts.append(position)
            position += len(word)
    inside = [start for start in starts if 0 < start <= limit]
    return inside[-1] if inside else limit


@cache
def _thai_parser() -> _Parser:
    import budoux  # 20 ms, and only Thai needs it

    parser: _Parser = budoux.load_default_thai_parser()
    return parser


def speaking_weight(text: str) -> float:
    """Relative duration of a spoken text, in Latin letters: a Chinese character takes as long as three."""
    if text.isascii():
        return len(text)
    return sum(_weight(character) for character in text)


def _weight(character: str) -> float:
    if character < "\u0300":
        return 1.0
    if "\uac00" <= character <= "\ud7a3":
        return 2.5
    if _compiled(_HAN_ONE).match(character):
        return 3.0
    if _compiled(_KANA_ONE).match(character):
        return 2.0
    return 0.0 if unicodedata.category(character) == "Mn" else 1.0


_HAN_ONE = f"[{_HAN}]"
_KANA_ONE = f"[{_KANA}\u30fc]"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile on first use: all patterns take 30 ms, and texts in Latin letters need none."""
    return re.compile(pattern)
