"""Tracks which words of the bot's speech have been heard, segment by segment.

The voice announces each segment (`TTSStartedFrame`), possibly while an earlier one is still playing. Each
heard word is searched a little way ahead in the current segment, then in the next one, because some words
are never found: voices say "nine" for "9".
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
"""Maximum distance from the last heard word to the next; leaves room for several words not found."""

NEXT_SEGMENT_CHARS = 16
"""A word found within this distance of the next segment's start means that the current segment is over."""

MAX_SEGMENTS = 256
"""Maximum number of segments not heard yet; no voice is ever this far ahead."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the bot's speech. `heard`: number of characters of `text` that were heard."""

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
    """The announced segments that have not been heard to the end, in order."""

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
        """A new segment id; ids increase."""
        self._last_id += 1
        return self._last_id

    def word(self, reply_id: int | None, word: str, *, joined: bool = False) -> list[Segment]:
        """A word was heard. Returns the changed segments, in order. `joined`: no space before it."""
        index = self._index_of(reply_id, word)
        if index is None:
            return []
        passed = [self._segments.popleft() for _ in range(index)]
        before = self._segments[0]
        self._segments[0] = after = _advance(before, word, joined)
        return [*_completed(passed), *([after] if after != before else [])]

    def finish(self) -> list[Segment]:
        """The bot finished speaking: the rest of the segments counts as heard."""
        left = [] if self._cut else list(self._segments)
        self.clear()
        return _completed(left)

    def cut(self) -> None:
        """The bot was interrupted. Words heard before that may still arrive until `clear`."""
        self._cut = True

    def clear(self) -> None:
        """Forget what was announced."""
        self._segments.clear()
        self._cut = False

    def _index_of(self, reply_id: int | None, word: str) -> int | None:
        """Which of the reply's next two segments contains `word`; the first if neither does."""
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
    """Where `word` ends in the rest of the segment, including the punctuation after it."""
    bare = bare_word(word)
    ahead = segment.remaining_text[: within + len(word)]
    # In a script without spaces, a word has letters beside it.
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
    """Whether its text was not announced, so that it grows with the words that are heard."""
    return segment.heard == len(segment.text) and segment.status != "completed"
