"""Piper's helper process: `python -m runner.services.local.helpers.piper_helper '{"path": …}'`.

It exchanges the messages of `runner.services.local.voice_helper`.

Read from PyPI's `piper-tts` 1.8.0, `voice.py`: `PiperVoice.load(path, include_alignments=True)` makes
the model report how long each phoneme lasts; `synthesize` returns one chunk of audio per sentence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from runner.services.local.helpers import Pipe
from runner.services.local.voice_helper import Sink, serve
from runner.turns.segments import units

SPACE = " "
PIECE_MS = 100
"""Audio is sent in pieces of this length, so that a cancellation takes effect soon."""


class PiperSpeaker:
    """The loaded voice."""

    def __init__(self, options: dict[str, Any]) -> None:
        from piper import PiperVoice, SynthesisConfig

        self._voice: Any = PiperVoice.load(options["path"], include_alignments=True)
        own_scale = float(self._voice.config.length_scale)
        self._how = SynthesisConfig(speaker_id=options["speaker"], length_scale=own_scale / options["speed"])
        self.rate_hz = int(self._voice.config.sample_rate)

    def say(self, text: str, voice: str, rate: int, sink: Sink, /) -> None:
        """Pass the audio of `text` to `sink`, until the end or until `sink` returns False."""
        words = PhonemeWords(text, self._voice.phonemize(text))
        samples = 0
        for chunk in self._voice.synthesize(text, self._how, include_alignments=True):
            pcm = chunk.audio_int16_bytes
            durations = [(part.phoneme, int(part.num_samples)) for part in chunk.phoneme_alignments or ()]
            placed = words.place(chunk.phonemes, durations, len(pcm) // 2)
            at_ms = [(position, (samples + sample) * 1000 // self.rate_hz) for position, sample in placed]
            if not self._give(pcm, at_ms, sink):
                return
            samples += len(pcm) // 2

    def _give(self, pcm: bytes, words: list[tuple[int, int]], sink: Sink) -> bool:
        size = self.rate_hz * PIECE_MS // 1000 * 2
        return all(sink(pcm[at : at + size], words if at == 0 else []) for at in range(0, len(pcm), size))


class PhonemeWords:
    """Maps phonemes, sentence by sentence, to positions in the text and samples."""

    def __init__(self, text: str, sentences: Sequence[Sequence[str]]) -> None:
        lengths = [len(word) for sentence in sentences for word in _words(sentence)]
        starts = [unit.start for unit in units(text)]
        if len(lengths) == len(starts):
            self._positions = starts
        else:
            total = sum(lengths) or 1
            before = [sum(lengths[:index]) for index in range(len(lengths))]
            self._positions = [round(length / total * len(text)) for length in before]
        self._next = 0

    def place(
        self, phonemes: Sequence[str], durations: Sequence[tuple[str, int]], samples: int
    ) -> list[tuple[int, int]]:
        """The words of one sentence: (index of the first character, sample at which it begins).

        `durations` is how many samples each phoneme takes; without it the sentence's samples are divided
        evenly.
        """
        if not durations:
            each = samples / (len(phonemes) or 1)
            durations = [(phoneme, round(each)) for phoneme in phonemes]
        placed = []
        at, awaited = 0, True
        for phoneme, length in durations:
            if phoneme == SPACE:
                awaited = True
            elif awaited and phoneme not in ("^", "$"):  # Piper's markers of a sentence's beginning and end
                awaited = False
                if self._next < len(self._positions):
                    placed.append((self._positions[self._next], min(at, samples)))
                    self._next += 1
            at += length
        return placed


def _words(sentence: Sequence[str]) -> list[list[str]]:
    words: list[list[str]] = [[]]
    for phoneme in sentence:
        if phoneme == SPACE:
            words.append([])
        else:
            words[-1].append(phoneme)
    return [word for word in words if word]


def main() -> None:
    """Serve until stdin ends."""
    pipe = Pipe()
    try:
        speaker = PiperSpeaker(json.loads(sys.argv[1]))
        speaker.say("ready", "", 0, lambda pcm, words: True)  # the first synthesis is slower
    except Exception as error:  # the boundary to Piper
        sys.exit(f"{type(error).__name__}: {error}")
    serve(pipe, speaker, speaker.rate_hz)


if __name__ == "__main__":
    main()
