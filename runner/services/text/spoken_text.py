"""Takes out of a text what a voice cannot say: markup and emojis. Pure."""

from __future__ import annotations

import re

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
