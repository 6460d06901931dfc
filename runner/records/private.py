"""What is removed before anything is written: keys, tokens, signatures, phone numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

from runner.settings.credentials import given_count, hide_forms, secret_forms

_SECRET_NAME = re.compile(
    r"token|secret|passw|signature|api[-_]?key|authorization|credential|dial_key", re.IGNORECASE
)
# A name is taken whole and judged afterwards: one pattern for both would go through a long name again for
# each of its letters, half a minute for one message of a stranger.
_JSON_NAME = re.compile(r'\\?"(?P<name>[\w-]++)(?=(?P<colon>\\?"\s*+:\s*+\\?"))')
_JSON_VALUE = re.compile(r'(?:[^"\\]|\\[^"])++')
_URL_NAME = re.compile(r"[?&](?P<name>[\w-]++)(?P<colon>=)")
_URL_VALUE = re.compile(r"[^&\s\"'\\]++")
_IN_URLS_ONLY = ("key", "sig")
_NAMED = ("token", "secret", "passw", "signature", "key", "authorization", "credential", "sig=")
_DIGITS = re.compile(r"\d{7,}")
HIDDEN = "…"
REFRESH_S = 5.0


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
        self._forms: tuple[str, ...] = ()
        self._known, self._until = -1, 0.0
        self._masks = [pair for number in numbers if number for pair in _masks(number)]

    def mask_numbers(self, text: str) -> str:
        """The text without the call's numbers."""
        for number, mask in self._masks:
            if number in text:
                text = text.replace(number, mask)
        return text

    def clean(self, text: str) -> str:
        """The text without secrets and numbers."""
        text = self.mask_numbers(text)
        lowered = text.lower()
        if any(name in lowered for name in _NAMED):  # the patterns are slow, and most texts name nothing
            text = _hide_values(text, _JSON_NAME, _JSON_VALUE)
            text = _hide_values(text, _URL_NAME, _URL_VALUE, _IN_URLS_ONLY)
        return hide_forms(text, self._secrets())

    def _secrets(self) -> tuple[str, ...]:
        """The keys to hide; asked for again when a bot has passed a new one, and now and then."""
        now, count = time.monotonic(), given_count()
        if count != self._known or now > self._until:
            self._forms, self._known, self._until = secret_forms(), count, now + REFRESH_S
        return self._forms


def _masks(number: str) -> Iterator[tuple[str, str]]:
    """What to replace and by what: the number as given, and its digits, however the rest is written."""
    for text in (number, *_DIGITS.findall(number)):
        if (mask := masked(text)) != text:
            yield text, mask


def _hide_values(
    text: str, names: re.Pattern[str], values: re.Pattern[str], secret: tuple[str, ...] = ()
) -> str:
    """The text without the values behind names of secrets; `secret`: further such names."""
    parts, at = [], 0
    for found in names.finditer(text):
        begin = found.end("colon")
        if found.start() < at or not _is_secret(found["name"], secret):
            continue
        if (value := values.match(text, begin)) is not None:
            parts += [text[at:begin], HIDDEN]
            at = value.end()
    return "".join((*parts, text[at:]))


def _is_secret(name: str, further: tuple[str, ...]) -> bool:
    return name.lower() in further or _SECRET_NAME.search(name) is not None
