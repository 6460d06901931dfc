"""How far the bot has got with what it is saying: segments of text, and the words that were heard.

The voice announces each segment (`TTSStartedFrame`) while an earlier one may still be sounding, and
words come back as they are heard. A word is looked for a little way ahead in the segment that is
sounding, then in the next one: voices say "nine" for "9", and such a word must not lose the place.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.turns.segments import bare_word, is_unspaced, join_units

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOK_AHEAD_CHARS = 60
"""How far beyond the last heard word the next one may stand: several words that were not recognised."""

NEXT_SEGMENT_CHARS = 16
"""How far into the next segment a word may stand and still show that this one is over."""

MAX_SEGMENTS = 256
"""Segments that wait to be heard; more than a voice ever is ahead."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the bot's speech. `heard` counts the characters of `text` that the listener heard."""

    id: int
    reply_id: int | None
    text: str
    heard: int = 0
    status: str = "new"

    @property
    def spoken_text(self) -> str:
        return self.text[: self.heard]

    @property
    def remaining_text(self) -> str:
        return self.text[self.heard :]


class Speech:
    """Everything announced and not yet heard to its end, in order."""

    def __init__(self) -> None:
        self._segments: deque[Segment] = deque(maxlen=MAX_SEGMENTS)
        self._last_id = 0
        self._cut = False

    def announce(self, reply_id: int | None, text: str) -> Segment:
        """The voice begins a segment; `text` is empty if it is not known beforehand."""
        if self._cut:
            self.clear()
        if self._segments and self._segments[0].status == "completed":
            self._segments.popleft()
        segment = Segment(self.next_id(), reply_id, text.strip())
        self._segments.append(segment)
        return segment

    def next_id(self) -> int:
        """A number for a segment: its own, and greater than those before."""
        self._last_id += 1
        return self._last_id

    def word(self, reply_id: int | None, word: str, *, joined: bool = False) -> list[Segment]:
        """A word was heard, `joined` to the one before; the segments that changed by it, in order."""
        index = self._index_of(reply_id, word)
        if index is None:
            return []
        passed = [self._segments.popleft() for _ in range(index)]
        before = self._segments[0]
        self._segments[0] = after = _advance(before, word, joined)
        return [*_completed(passed), *([after] if after != before else [])]

    def finish(self) -> list[Segment]:
        """The bot fell silent, having said all: what is left of the segments counts as heard."""
        left = [] if self._cut else list(self._segments)
        self.clear()
        return _completed(left)

    def cut(self) -> None:
        """The bot was interrupted. Words that were heard before may still come in until `clear`."""
        self._cut = True

    def clear(self) -> None:
        """Forget what was announced."""
        self._segments.clear()
        self._cut = False

    def _index_of(self, reply_id: int | None, word: str) -> int | None:
        """Which of the next two segments says `word`; if neither plainly does, the first of its reply."""
        mine = [i for i, segment in enumerate(self._segments) if _same_reply(segment, reply_id)][:2]
        if not mine:
            if not self._cut:
                self.announce(reply_id, "")
            return None if self._cut else len(self._segments) - 1
        first, *following = mine
        if _find(self._segments[first], word) is None:
            for index in following:
                if _find(self._segments[index], word, within=NEXT_SEGMENT_CHARS) is not None:
                    return index
        return first


def _completed(segments: Iterable[Segment]) -> list[Segment]:
    return [
        replace(segment, heard=len(segment.text), status="completed")
        for segment in segments
        if segment.status != "completed" and segment.text
    ]


def _same_reply(segment: Segment, reply_id: int | None) -> bool:
    return reply_id is None or segment.reply_id is None or segment.reply_id == reply_id


def _find(segment: Segment, word: str, within: int = LOOK_AHEAD_CHARS) -> int | None:
    """Where `word` ends in what is left of the segment, with the punctuation that clings to it."""
    bare = bare_word(word)
    ahead = segment.remaining_text[: within + len(word)]
    # A word of a script without spaces stands among letters.
    begin, end = ("", "") if is_unspaced(bare) else (r"(?<!\w)", r"(?!\w)")
    found = re.search(rf"{begin}{re.escape(bare)}{end}[^\w\s]*", ahead, re.IGNORECASE) if bare else None
    return segment.heard + found.end() if found else None


def _advance(segment: Segment, word: str, joined: bool) -> Segment:
    if _grows(segment):
        text = join_units([(segment.text, False), (word.strip(), joined)])
        return replace(segment, text=text, heard=len(text), status="in-progress")
    heard = _find(segment, word) or segment.heard
    done = heard == len(segment.text)
    return replace(segment, heard=heard, status="completed" if done else "in-progress")


def _grows(segment: Segment) -> bool:
    """Whether its text was not known beforehand, so that it grows by the words that are heard."""
    return segment.heard == len(segment.text) and segment.status != "completed"
