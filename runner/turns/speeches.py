"""Which speech of the caller a transcript belongs to, however late the recogniser is. Pure; times in s."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WORDS_S = 1.5
"""How long after the end of speech a recogniser is waited for that has not been slower yet."""

MARGIN_S = 0.5
LONGEST_WAIT_S = 6.0
"""A recogniser that was late once is waited for so much longer than that, up to this."""

SLACK_S = 0.3
"""A word may begin so much before the VAD's beginning of its speech."""

REMEMBERED = 32


@dataclass(slots=True)
class _Speech:
    number: int
    began_at: float
    stopped_at: float | None = None
    transcribed: bool = False


class Speeches:
    """The caller's speeches, numbered from 1, and which of them have been transcribed.

    A recogniser answers in the order in which it was spoken to: a transcript that comes during later speech
    belongs to the earliest speech that still waits for one. Where the words have times, these decide.
    """

    def __init__(self) -> None:
        self._speeches: deque[_Speech] = deque(maxlen=REMEMBERED)
        self._slowest_s = 0.0

    @property
    def last(self) -> int:
        """The number of the last speech that began; 0 before the first."""
        return self._speeches[-1].number if self._speeches else 0

    @property
    def wait_s(self) -> float:
        """How long after the end of speech to wait for its transcript."""
        return min(max(WORDS_S, self._slowest_s + MARGIN_S), LONGEST_WAIT_S)

    def started(self, at: float) -> None:
        """A speech begins."""
        self._speeches.append(_Speech(self.last + 1, at))

    def stopped(self, at: float) -> None:
        """The last speech ends."""
        if self._speeches:
            self._speeches[-1].stopped_at = at

    def transcribed(self, now: float, spoken_at: float | None = None) -> int:
        """A final transcript has come: the number of its speech. `spoken_at` is when its first word was said,
        if the recogniser reports it."""
        speech = self._at(spoken_at) if spoken_at is not None else self._next(now)
        if speech is None:
            return self.last
        if speech.stopped_at is not None and not speech.transcribed:
            self._slowest_s = max(self._slowest_s, now - speech.stopped_at)
        for earlier in self._speeches:
            if earlier.number <= speech.number:
                earlier.transcribed = True
        return speech.number

    def waiting(self, now: float) -> float | None:
        """The end of the last speech whose transcript is still to come; None if there is none."""
        for speech in reversed(self._speeches):
            if speech.stopped_at is not None and not speech.transcribed:
                return speech.stopped_at if now < speech.stopped_at + self.wait_s else None
        return None

    def _at(self, spoken_at: float) -> _Speech | None:
        began = [speech for speech in self._speeches if speech.began_at - SLACK_S <= spoken_at]
        return began[-1] if began else self._next(spoken_at)

    def _next(self, now: float) -> _Speech | None:
        """The earliest that still waits, or else the last one."""
        for speech in self._speeches:
            over = speech.stopped_at is not None and now >= speech.stopped_at + LONGEST_WAIT_S
            if not speech.transcribed and not over:
                return speech
        return self._speeches[-1] if self._speeches else None
