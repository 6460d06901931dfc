"""Whether what was heard is a command: compares the commands' best path with the background's. Pure.

pocketsphinx scores each frame (10 ms) against the best sound that there is, so that a path's score is how
much worse it fits, in nats, below 0. Commands that were really said lose little against the background of
all phones; other speech, bent into a command, loses more, and most of all in its worst word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

THRESHOLD = -0.5
REFUSED = -100.0
"""The score of what has no words at all."""

WORST_WORD_WEIGHT = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A word or a phone on the best path, over the frames `first` to `last`; `score` in nats."""

    word: str
    first: int
    last: int
    score: float

    @property
    def frames(self) -> int:
        return self.last - self.first + 1

    @property
    def is_word(self) -> bool:
        """Not silence `<sil>`, nor a noise `[NOISE]`."""
        return self.word[:1] not in ("<", "[", "+")


def judge(commands: Sequence[Segment], background: Sequence[Segment]) -> float:
    """How far above the threshold the commands' path is, in nats per frame: below 0 is refused."""
    words = [segment for segment in commands if segment.is_word]
    if not words or not background:
        return REFUSED
    length = max(commands[-1].last, background[-1].last) + 1
    per_frame = _per_frame(background, length)
    whole = sum(s.score for s in commands) - sum(per_frame)
    worst = min((w.score - sum(per_frame[w.first : w.last + 1])) / w.frames for w in words)
    return whole / length + WORST_WORD_WEIGHT * worst - THRESHOLD


def _per_frame(segments: Sequence[Segment], length: int) -> list[float]:
    scores = [0.0] * length
    for segment in segments:
        share = segment.score / segment.frames
        scores[segment.first : segment.last + 1] = [share] * segment.frames
    return scores
