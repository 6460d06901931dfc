"""How far a sentence has been spoken when a voice breaks off. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from runner.frames import Frame, OutputAudioRawFrame, TTSTextFrame


class Spoken:
    """One sentence, by one voice after the other.

    A word goes on when the sound has reached the next one, never before: so a word that was cut, and is said
    again by the next voice, is written down once.

    Attributes:
        left: what is still to be said.
    """

    def __init__(self, text: str) -> None:
        self.left = text
        self._base_ms = 0.0
        self._sound_ms = 0.0
        self._words: list[TTSTextFrame] = []
        self._told: list[str] = []

    def begin(self, words: Sequence[TTSTextFrame]) -> None:
        """A voice begins with `left`; `words` are its words if it tells none itself."""
        self._base_ms += self._sound_ms
        self._sound_ms = 0.0
        self._words = list(words)
        self._told = []

    def take(self, frame: Frame) -> Iterator[Frame]:
        """What the voice yields; gives what may go on."""
        if isinstance(frame, TTSTextFrame):
            self._words.append(frame)
        else:
            yield frame
        if isinstance(frame, OutputAudioRawFrame):
            self._sound_ms += len(frame.audio) * 500 / (frame.sample_rate * frame.num_channels)
        yield from self._heard_words()

    def finish(self) -> Iterator[Frame]:
        """The voice has said it all."""
        self._sound_ms = float("inf")
        yield from self._heard_words()

    def break_off(self) -> None:
        """The voice failed: the words that did not go on are still to be said."""
        self._words.clear()
        position = 0
        for word in self._told:
            found = self.left.find(word, position)
            position = found + len(word) if found >= 0 else position
        self.left = self.left[position:].strip()

    def _heard_words(self) -> Iterator[Frame]:
        self._words.sort(key=_offset_ms)
        while self._words and self._end_ms() <= self._sound_ms:
            word = self._words.pop(0)
            self._told.append(word.text.strip())
            yield replace(word, audio_offset_ms=self._base_ms + _offset_ms(word))

    def _end_ms(self) -> float:
        """When the first of the words ends: with the next; the last one with the sentence."""
        return _offset_ms(self._words[1]) if len(self._words) > 1 else float("inf")


def _offset_ms(word: TTSTextFrame) -> float:
    return word.audio_offset_ms or 0.0
