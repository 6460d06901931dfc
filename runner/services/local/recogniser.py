"""pocketsphinx: recognises commands in sound as it comes. Loaded only in the recogniser's helper process.

Two pocketsphinx decoders get the same sound: one for the commands, one for the background
(`understanding.py`). Comparing their best paths decides whether the speech is a command. pocketsphinx scores
each frame (10 ms) relative to the best possible sound, in nats below 0. Real commands lose little against the
background of all phones. Other speech, forced into a command, loses more, and the background usually finds
more phones than the command has letters.

The weights are a logistic regression's, over twelve synthetic voices of three engines, clean and in noise,
on the tuning files of `tests/services/local/accuracy.py` alone.

The models were trained on features minus the mean of the whole recording. Here the recording is not complete
yet, and pocketsphinx's running mean adapts too slowly for a command of one second (in noise only half as many
commands are recognised). So the mean is measured over the first second.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pocketsphinx

from runner.services.local.understanding import (
    BACKGROUND,
    GRAMMARS,
    OVERLAP_GRAMMARS,
    PHONE_WORD,
    TELEPHONE_PRONUNCIATIONS,
    vocabulary,
)

FRAME_S = 0.01

REFUSED = -100.0
"""The score of speech without words."""

# Weights: per nat and frame lost against the background over the whole sound, and over its speech only; the
# fit of the words by themselves; phones of the background per letter of the command.
_WHOLE, _SPEECH, _FIT, _PHONES = 1.254, 0.706, 0.674, -2.209
_BIAS = 8.182
# On the tuning files, 92 % of the correctly recognised commands are above this (log odds).
_THRESHOLD = -0.6

# For speech over the bot: weights per nat and frame by which requests fit better than murmurs, and per second
# of speech. Also from a logistic regression, over the tuning half of `tests/support/overlap_sounds.py` at
# telephone quality; the bias was then moved so that fewer than 5 % of its murmurs count as requests, since a
# short word can be repeated.
_ASKING, _ASKING_LENGTH, _ASKING_BIAS = 1.99, 0.22, 1.32
_NO_PATH = -6.0
"""The fit (nats per frame) if there is no path."""
_CLEAR = 4.0
"""Maximum difference (nats per frame) that counts."""


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
        """Whether it is neither silence `<sil>` nor noise `[NOISE]`."""
        return self.word[:1] not in ("<", "[")

    @property
    def letters(self) -> int:
        """Number of letters of the word; its second pronunciation is called `word(2)`."""
        return len(self.word.partition("(")[0])


def judge(commands: Sequence[Segment], background: Sequence[Segment]) -> float:
    """Log odds of the commands' path above the threshold; below 0 is refused."""
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
    """Log odds that short speech over the bot asks it to stop: how much better it fits requests than
    murmurs."""
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


RATE_HZ = 16000
MEASURED_BYTES = 2 * RATE_HZ
"""The first second."""
SHORTEST_BYTES = RATE_HZ // 5
LONGEST_WEIGHED_BYTES = 2 * int(1.9 * RATE_HZ)
"""Maximum length of a murmur with the silence around it; longer speech is not examined."""

# pocketsphinx weights a given mean like this number of frames (`CMN_WIN` in cmn.h).
_PRIOR_FRAMES = 500
_CEPSTRA = 13
# Scores are shifted right by 10 bits (`SENSCR_SHIFT` in hmm.h).
_SCORE_UNIT = 1 << 10


@dataclass(frozen=True, slots=True)
class Heard:
    """The most likely command with its score: log odds above the threshold; below 0 is refused.

    `asks`: log odds of a request to stop rather than a murmur; None if that was not examined.
    """

    text: str
    score: float
    asks: float | None = None


class Recogniser:
    """Recognises utterances one at a time: `begin`, `feed` …, `finish`."""

    def __init__(self) -> None:
        grammars = GRAMMARS | OVERLAP_GRAMMARS
        self._pronunciations = _read_pronunciations(set().union(*map(vocabulary, grammars.values())))
        self._commands = self._decoder(grammars, wip=0.01, beam=1e-90, pbeam=1e-90, wbeam=1e-70)
        self._background = self._decoder({"background": BACKGROUND}, wip=0.1)
        self._decoders = (self._commands, self._background)
        self._early = bytearray()
        self._weighed: bytearray | None = None
        self._mean = ""
        self._learned: set[str] = set()
        self._decoding = False

    def begin(self, grammar: str = "commands", *, over_bot: bool = False) -> None:
        """Begin an utterance in one of the `GRAMMARS` or a learned one; drops an unfinished one. For speech
        `over_bot` it also decides whether it asks the bot to stop."""
        if self._decoding:
            self._end()
        self._early.clear()
        self._weighed = bytearray() if over_bot else None
        self._commands.activate_search(grammar)

    def learn(self, name: str, jsgf: str) -> None:
        """Add a grammar for `begin`, once. Raises `ValueError` if pocketsphinx refuses it."""
        if name in self._learned:
            return
        words = vocabulary(jsgf) - self._pronunciations.keys()
        self._pronunciations |= (new := _read_pronunciations(words))
        for entries in new.values():
            for entry, phones in entries:
                self._commands.add_word(entry, phones, False)
        try:
            self._commands.add_jsgf_string(name, jsgf)
        except Exception as error:  # the boundary to pocketsphinx
            raise ValueError(f"pocketsphinx refuses the grammar: {error}") from error
        self._learned.add(name)

    def feed(self, pcm: bytes) -> None:
        """Add sound at 16 kHz, in whole samples."""
        pcm = pcm[: len(pcm) & ~1]
        if self._weighed is not None:
            self._weighed += pcm
            if len(self._weighed) > LONGEST_WEIGHED_BYTES:
                self._weighed = None
        if self._decoding:
            self._decode(pcm)
            return
        self._early += pcm
        if len(self._early) >= MEASURED_BYTES:
            self._start()

    def finish(self) -> Heard:
        """End the utterance and return its result."""
        if not self._decoding:
            if len(self._early) < SHORTEST_BYTES:
                return Heard("", REFUSED)
            self._start()
        self._end()
        commands = _segments(self._commands)
        text = " ".join(s.word.partition("(")[0] for s in commands if s.is_speech)
        background = _segments(self._background)
        return Heard(text, judge(commands, background), self._weigh(background))

    def _weigh(self, background: list[Segment]) -> float | None:
        """Log odds that the utterance asks the bot to stop."""
        if self._weighed is None:
            return None
        pcm, self._weighed = bytes(self._weighed), None
        paths = []
        for name in OVERLAP_GRAMMARS:
            self._commands.activate_search(name)
            _begin(self._commands, self._mean)
            self._commands.process_raw(pcm, False, False)
            self._commands.end_utt()
            paths.append(_segments(self._commands))
        murmurs, asking = paths
        return asks(murmurs, asking, background)

    def _start(self) -> None:
        early = bytes(self._early)
        self._early.clear()
        self._mean = self._measure(early[:MEASURED_BYTES])
        for decoder in self._decoders:
            _begin(decoder, self._mean)
        self._decoding = True
        self._decode(early)

    def _decode(self, pcm: bytes) -> None:
        for decoder in self._decoders:
            decoder.process_raw(pcm, False, False)

    def _end(self) -> None:
        self._decoding = False
        for decoder in self._decoders:
            decoder.end_utt()

    def _measure(self, pcm: bytes) -> str:
        """The mean of this sound's features, in the form of `set_cmn`."""
        decoder = self._commands
        _begin(decoder, ",".join(["0"] * _CEPSTRA))
        decoder.process_raw(pcm, False, False)
        decoder.end_utt()
        frames = max(decoder.n_frames(), 1)
        share = (_PRIOR_FRAMES + frames) / frames
        return ",".join(f"{float(value) * share:.4f}" for value in decoder.get_cmn(True).split(","))

    def _decoder(self, grammars: Mapping[str, str], **settings: float) -> pocketsphinx.Decoder:
        # The full dictionary of 134,000 words takes 1 s and 40 MB; only about a hundred words are needed.
        decoder = pocketsphinx.Decoder(
            lm=None, dict=os.devnull, loglevel="FATAL", bestpath=False, cmn="live", silprob=0.1, **settings
        )
        for word in sorted(set().union(*map(vocabulary, grammars.values()))):
            if word.startswith(PHONE_WORD):
                decoder.add_word(word, word.removeprefix(PHONE_WORD), False)
            for entry, phones in self._pronunciations.get(word, ()):
                decoder.add_word(entry, phones, False)
        for name, jsgf in grammars.items():
            decoder.add_jsgf_string(name, jsgf)
        decoder.activate_search(next(iter(grammars)))
        return decoder


def _begin(decoder: pocketsphinx.Decoder, mean: str) -> None:
    """Begin an utterance whose features have this mean; the previous speaker's noise estimate is reset."""
    decoder.reinit_feat()
    decoder.set_cmn(mean)
    decoder.start_utt()


def _segments(decoder: pocketsphinx.Decoder) -> list[Segment]:
    if decoder.hyp() is None:
        return []
    return [
        Segment(s.word, s.start_frame, s.end_frame, math.log(s.ascore or 1e-300) * _SCORE_UNIT)
        for s in decoder.seg()
        if s.end_frame >= s.start_frame >= 0 and s.word != "(NULL)"
    ]


def _read_pronunciations(words: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Each word's entries in the model's dictionary, `word` and `word(2)` …, with their phones."""
    found: dict[str, list[tuple[str, str]]] = {}
    with open(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as lines:
        for line in lines:
            name, _, phones = line.strip().partition(" ")
            word = name.partition("(")[0]
            if word in words:
                found.setdefault(word, []).append((name, phones.strip()))
    for word, more in TELEPHONE_PRONUNCIATIONS.items():
        if entries := found.get(word):
            entries += [(f"{word}({len(entries) + i})", phones) for i, phones in enumerate(more, 1)]
    return found
