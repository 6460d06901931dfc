"""What a sentence asks for, whether it was heard or typed. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
"""The word of each number from 0 on."""


class Kind(StrEnum):
    """What can be asked for."""

    TIME = "time"
    DATE = "date"
    JOKE = "joke"
    COUNT = "count"
    REPEAT = "repeat"
    HELP = "help"
    HELLO = "hello"
    THANKS = "thanks"
    STOP = "stop"
    YES = "yes"
    NO = "no"
    GOODBYE = "goodbye"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `detail` is the number to count to, the words to repeat, or the greeting's own word."""

    kind: Kind
    detail: str = ""


def understand(text: str) -> Request:
    """The first pattern that fits, on the text in lower case and without punctuation."""
    words = _plain(text)
    for pattern, kind, detail in _PATTERNS:
        if match := pattern.search(words):
            return Request(kind, detail(match))
    return Request(Kind.UNKNOWN)


def _plain(text: str) -> str:
    text = text.lower().replace("’", "'")
    return " ".join(re.sub(r"[^\w' ]+", " ", text).split())


def _nothing(match: re.Match[str]) -> str:
    return ""


def _number(match: re.Match[str]) -> str:
    word = match["number"]
    return str(NUMBER_WORDS.index(word)) if word in NUMBER_WORDS else word


def _group(name: str) -> Callable[[re.Match[str]], str]:
    return lambda match: match[name] or ""


# The order matters: "repeat after me hello" is no greeting, "no thank you" is a no.
_PATTERNS = [
    (re.compile(pattern), kind, detail)
    for pattern, kind, detail in (
        (r"\b(?:repeat|say) after me\b ?(?P<words>.*)", Kind.REPEAT, _group("words")),
        (r"\bcount\b.*?\bto (?P<number>\w+)", Kind.COUNT, _number),
        (r"\bcount\b", Kind.COUNT, _nothing),
        (r"\bjoke\b", Kind.JOKE, _nothing),
        (r"\b(?:what time|the time|time is it)\b", Kind.TIME, _nothing),
        (r"\b(?:what day|the date|what date|today)\b", Kind.DATE, _nothing),
        (r"\bhelp\b|\bwhat can you do\b|\bwhat do you know\b", Kind.HELP, _nothing),
        (r"\b(?:good ?bye|bye)\b", Kind.GOODBYE, _nothing),
        (r"^no\b", Kind.NO, _nothing),
        (r"\bthanks?\b", Kind.THANKS, _nothing),
        (r"^(?:please )?stop\b|\bbe quiet\b", Kind.STOP, _nothing),
        (r"^yes\b|^(?:okay|ok|sure)$", Kind.YES, _nothing),
        (r"\bgood (?P<part>morning|afternoon|evening)\b", Kind.HELLO, _group("part")),
        (r"^(?:hello|hi|hey)\b", Kind.HELLO, _nothing),
    )
]
