"""Whether what was heard is a command: compares the commands' best path with the background's. Pure.

pocketsphinx scores each frame (10 ms) against the best sound that there is, so that a path's score is how
much worse it fits, in nats, below 0. Commands that were really said lose little against the background of
all phones. Other speech, bent into a command, loses more, and mostly the background hears more phones in
it than the command has letters for.

The weights are a logistic regression's, over twelve synthetic voices of three engines, clean and in noise,
on the tuning files of `tests/services/local/accuracy.py` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRAME_S = 0.01

REFUSED = -100.0
"""The score of what has no words at all."""

# Per nat and frame: lost against the background over the whole sound, and over its speech alone;
# then how well the words fit by themselves; then per phone of the background for each letter of the command.
_WHOLE, _SPEECH, _FIT, _PHONES = 1.254, 0.706, 0.674, -2.209
_BIAS = 8.182
# Of the commands that were understood, 92 in 100 stay above this (in log odds), on the tuning files.
_THRESHOLD = -0.6

# Of speech over the bot: per nat and frame by which what asks fits better than what is murmured, and per
# second of speech. A logistic regression's, too, over the tuning half of `tests/support/overlap_sounds.py`,
# by telephone; the bias was then moved so that fewer than 5 in 100 of the murmurs there count as asking: a
# short word may be said again.
_ASKING, _ASKING_LENGTH, _ASKING_BIAS = 1.99, 0.22, 1.32
_NO_PATH = -6.0
"""The fit (nats per frame) of what has no path at all."""
_CLEAR = 4.0
"""A greater difference (nats per frame) tells nothing more."""


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
    def is_speech(self) -> bool:
        """Not silence `<sil>`, nor a noise `[NOISE]`."""
        return self.word[:1] not in ("<", "[")

    @property
    def letters(self) -> int:
        """Of the word itself: its second pronunciation is called `word(2)`."""
        return len(self.word.partition("(")[0])


def judge(commands: Sequence[Segment], background: Sequence[Segment]) -> float:
    """How far above the threshold the commands' path is, in log odds: below 0 is refused."""
    words = [segment for segment in commands if segment.is_speech]
    phones = [segment for segment in background if segment.is_speech]
    if not words or not phones:
        return REFUSED
    frames = max(commands[-1].last, background[-1].last) + 1
    lost = _total(commands) - _total(background)
    return (
        _WHOLE * lost / frames
        + _SPEECH * lost / _frames(phones)
        + _FIT * _total(words) / _frames(words)
        + _PHONES * len(phones) / sum(word.letters for word in words)
        + _BIAS
        - _THRESHOLD
    )


def asks(murmurs: Sequence[Segment], asking: Sequence[Segment], background: Sequence[Segment]) -> float:
    """Whether short speech over the bot asks it to stop, in log odds: how much better it fits what asks than
    what is murmured."""
    frames = _frames([segment for segment in background if segment.is_speech])
    if not frames:
        return REFUSED
    floor = _total(background) + _NO_PATH * frames
    better = ((_total(asking) if asking else floor) - (_total(murmurs) if murmurs else floor)) / frames
    better = min(max(better, -_CLEAR), _CLEAR)
    return _ASKING * better + _ASKING_LENGTH * frames * FRAME_S + _ASKING_BIAS


def _total(segments: Sequence[Segment]) -> float:
    return sum(segment.score for segment in segments)


def _frames(segments: Sequence[Segment]) -> int:
    return sum(segment.frames for segment in segments)
