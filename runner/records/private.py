"""What is removed before anything is written: keys, tokens, signatures, phone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.settings.credentials import hide

_SECRET_NAMES = r"[\w-]*(?:token|secret|passw|signature|api[-_]?key|authorization|credential|dial_key)[\w-]*"
_IN_JSON = re.compile(rf'(\\?")({_SECRET_NAMES})(\\?"\s*:\s*\\?")((?:[^"\\]|\\[^"])+)', re.IGNORECASE)
_IN_URL = re.compile(rf"([?&])({_SECRET_NAMES}|key|sig)=[^&\s\"'\\]+", re.IGNORECASE)
HIDDEN = "…"


def masked(number: str) -> str:
    """A phone number with most digits hidden: `+14*****99`. Shorter texts stay as they are."""
    digits = sum(map(str.isdigit, number))
    if digits < 7:
        return number
    keep = 3 if number.startswith("+") else 2
    return number[:keep] + "*" * (len(number) - keep - 2) + number[-2:]


class Privacy:
    """What one call's record may hold.

    Args:
        keeps_content: whether sound and words are kept.
        numbers: phone numbers to mask wherever they occur.
    """

    def __init__(self, keeps_content: bool = True, numbers: Iterable[str | None] = ()) -> None:
        self.keeps_content = keeps_content
        self._masks = [(number, masked(number)) for number in numbers if number and masked(number) != number]

    def clean(self, text: str) -> str:
        """The text without secrets and numbers."""
        for number, mask in self._masks:
            if number in text:
                text = text.replace(number, mask)
        text = _IN_JSON.sub(rf"\1\2\3{HIDDEN}", text)
        return hide(_IN_URL.sub(rf"\1\2={HIDDEN}", text))
