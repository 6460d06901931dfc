"""What recognisers write that nobody said: "[BLANK_AUDIO]", "(silence)", "*coughs*", "♪ music ♪". Pure."""

from __future__ import annotations

import re

_ANNOTATION = re.compile(
    r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}|<[^<>]*>|（[^（）]*）|【[^【】]*】|\*[^*]*\*|♪[^♪]*♪?|[♪♫♬🎵🎶]"
)


def spoken_part(text: str) -> str:
    """The text without surrounding space; empty if all of it is in brackets, or is no word."""
    text = text.strip()
    rest = _ANNOTATION.sub("", text)
    return text if any(char.isalnum() for char in rest) else ""
