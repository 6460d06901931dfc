"""The sound of each sentence of a recorded call, cut out of what was heard. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runner.records.sound import CallSound, Samples
from runner.turns.segments import words_of

Event = Mapping[str, Any]

CHARS_PER_S = 14.5
"""How fast a sentence is said whose sound the record does not hold."""

HUM_HZ, HUM_LEVEL = 180.0, 4000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One sentence: its first sound came after `first_s` (None: it never came), then `pcm` (s16le mono).

    Attributes:
        heard: words that were heard, with their times (s) in the sound.
    """

    service: str = ""
    text: str
    first_s: float | None
    pcm: bytes = b""
    sample_rate: int = 8000
    heard: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True, eq=False)
class _Part:
    """A sentence while its sound is looked for: the words that were heard, and from when until when."""

    event: Event
    heard: list[tuple[str, float]] = field(default_factory=list)
    first: Event | None = None
    begin: float | None = None
    until: float | None = None

    @property
    def text(self) -> str:
        return str(self.event.get("text", ""))


def sentences_of(events: Sequence[Event], sound: CallSound) -> Iterator[Spoken]:
    """The sentences in the order in which the voice got them."""
    search = _Search()
    for event in events:
        search.take(event)
    for part in search.parts:
        yield _spoken(part, sound)


class _Search:
    """Finds for each sentence its first sound and what of it was heard."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._current = -1  # the sentence that is being heard
        self._left = 0  # how many of its words are still to be heard
        self._started_at: float | None = None

    def take(self, event: Event) -> None:
        """The next event."""
        match event["kind"]:
            case "sentence":
                self.parts.append(_Part(event))
            case "voice_first_sound":
                mine = (
                    p for p in self.parts if p.first is None and p.event.get("reply") == event.get("reply")
                )
                if (waiting := next(mine, None)) is not None:
                    waiting.first = event
            case "bot_started":
                self._started_at = float(event["t"])
            case "heard":
                self._heard(str(event.get("text", "")), float(event["t"]))
            case "bot_stopped":
                self._stopped(float(event["t"]), interrupted=bool(event.get("interrupted")))

    def _heard(self, word: str, at: float) -> None:
        if self._left <= 0 and (following := self._next(word)) is not None:
            self._end(at)
            self._current = following
            begun = self.parts[following]
            self._left = len(words_of(begun.text))
            begun.begin = at if self._started_at is None else self._started_at
            self._started_at = None
        if self._current >= 0:
            self.parts[self._current].heard.append((word, at))
            self._left -= len(words_of(word))

    def _next(self, word: str) -> int | None:
        """The next sentence that begins with this word; those before it were thrown away unheard."""
        later = range(self._current + 1, len(self.parts))
        begins = words_of(word)[:1]
        matching = (index for index in later if words_of(self.parts[index].text)[:1] == begins)
        return next(matching, next(iter(later), None))

    def _end(self, at: float) -> None:
        if self._current >= 0 and self.parts[self._current].until is None:
            self.parts[self._current].until = at

    def _stopped(self, at: float, *, interrupted: bool) -> None:
        self._end(at)
        self._started_at = None
        if interrupted:
            self._left, self._current = 0, len(self.parts) - 1


def _spoken(part: _Part, sound: CallSound) -> Spoken:
    event, text, begin = part.event, part.text, part.begin or 0.0
    pcm: Samples = np.zeros(0, np.int16)
    if part.heard and part.until is not None:
        pcm = sound.part(begin, part.until).bot
    heard = tuple((word, max(at - begin, 0.0)) for word, at in part.heard)
    missing = len(words_of(text)) - len(words_of(" ".join(word for word, _ in heard)))
    if missing > 0 and part.first is not None:
        share = missing / max(len(words_of(text)), 1)
        pcm = np.concatenate([pcm, hum(share * len(text) / CHARS_PER_S, sound.sample_rate)])
    return Spoken(
        service=str(event.get("service", "")),
        text=text,
        first_s=None if part.first is None else max(float(part.first["t"]) - float(event["t"]), 0.0),
        pcm=pcm.astype("<i2").tobytes(),
        sample_rate=sound.sample_rate,
        heard=heard,
    )


def hum(seconds: float, sample_rate: int) -> Samples:
    """A hum in place of sound that the record does not hold."""
    time = np.arange(int(max(seconds, 0.0) * sample_rate)) / sample_rate
    return np.asarray(HUM_LEVEL * np.sin(2 * np.pi * HUM_HZ * time), np.int16)
