"""The sound that a streaming recogniser was sent, and the words that it made of it so far. Pure.

Sound that has no final words yet is kept, up to a bound: when the connection drops, the next one gets it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from runner.frames import HeardWord, TranscriptionFrame
from runner.turns.segments import join_texts

KEPT_S = 15.0
"""So much sound (s) is kept for another connection; older sound is given up."""

SLACK_S = 0.1
"""A recogniser's final words may end so long before the speech does, by its own account of the time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that will not change any more."""

    text: str
    confidence: float | None = None
    words: tuple[HeardWord, ...] = ()


class HeardStream:
    """One call's sound at one rate, as pcm, and the words of the turn that is under way.

    Attributes:
        interim: words that may still change.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.interim = ""
        self._pieces: list[Piece] = []
        self._kept: deque[bytes] = deque()
        self._kept_samples = 0
        self._kept_from = 0
        self._final_s = 0.0
        self._began_at = 0.0
        self._begun = False

    def add(self, pcm: bytes, now: float) -> None:
        """Sound was heard, its end now."""
        if not self._begun:
            self._begun = True
            self._began_at = now - len(pcm) / 2 / self.sample_rate
        self._kept.append(pcm)
        self._kept_samples += len(pcm) // 2
        while self._kept_samples > KEPT_S * self.sample_rate:
            self._drop_oldest()

    def finish(self, piece: Piece, end_s: float) -> None:
        """All sound up to here, in s of this connection, is words now."""
        self.interim = ""
        self._final_s = max(self._final_s, end_s)
        if piece.text:
            self._pieces.append(piece)
        end = round(end_s * self.sample_rate)
        while self._kept and self._kept_from + len(self._kept[0]) // 2 <= end:
            self._drop_oldest()

    def is_final_until(self, seconds_ago: float) -> bool:
        """Whether what was said up to so long before the end of the sound is words already."""
        return bool(self._pieces) and not self.interim and self._final_s >= self.end_s - seconds_ago - SLACK_S

    @property
    def end_s(self) -> float:
        """Where the sound so far ends, in s of this connection."""
        return (self._kept_from + self._kept_samples) / self.sample_rate

    def clock_at(self, seconds: float) -> float:
        """The time on the clock at which a position of this connection was heard."""
        return self._began_at + seconds

    def restart(self) -> bytes:
        """Another connection begins: the sound to begin it with. Its positions count from there."""
        self._began_at = self.clock_at(self._kept_from / self.sample_rate)
        self._kept_from, self._final_s = 0, 0.0
        self.interim = ""
        return b"".join(self._kept)

    @property
    def text(self) -> str:
        """The turn's words so far."""
        return join_texts(*(piece.text for piece in self._pieces), self.interim)

    def take_turn(self) -> TranscriptionFrame:
        """The turn is over: its words. What may still have changed is taken as it stands."""
        sure = [piece.confidence for piece in self._pieces if piece.confidence is not None]
        words = tuple(word for piece in self._pieces for word in piece.words)
        confidence = min(sure) if sure else None
        frame = TranscriptionFrame(self.text, confidence=confidence, words=words)
        self._pieces.clear()
        self.interim = ""
        return frame

    def forget(self) -> None:
        """Drop the sound so far: its words were taken, so no other connection needs it."""
        while self._kept:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        samples = len(self._kept.popleft()) // 2
        self._kept_samples -= samples
        self._kept_from += samples
