"""What callers do while a bot speaks: murmurs, noises, and real interruptions. All made, none recorded.

Whether a sound serves for tuning or is held out is decided by a hash of its name alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "services" / "local"))

from speech_corpus import LEVEL_DBFS, RATE_HZ, VOICES, Voice, speak

Sound = npt.NDArray[np.float64]

MURMURS = (
    "uh-huh", "yeah", "okay", "right", "I see", "oh", "sure", "yes", "really", "wow", "good", "great",
    "all right", "yep", "of course", "exactly", "yeah yeah", "okay great", "aha", "oh really", "nice",
)  # fmt: skip
"""What the engines can say. "mm-hmm" they spell out letter by letter: it is hummed below instead."""

INTERRUPTIONS = (
    "stop", "stop please", "no thank you", "what time is it", "tell me a joke please", "goodbye",
    "hold on a moment", "can I ask you something", "that is not what I meant", "excuse me please",
    "wait a minute", "I have a question", "let me stop you there", "could you repeat that",
    "no that is wrong", "what did you say", "sorry I did not understand", "how much does it cost",
    "wait", "no", "hold on", "hang on", "quiet", "enough", "hey", "excuse me", "sorry", "pause", "listen",
    "help", "be quiet please", "no no no", "stop it", "just a second", "actually I want to go back",
    "stop stop",
)  # fmt: skip
OTHER_VOICES = (
    "en-us+m3", "en-gb+f4", "en-029", "en-gb-x-gbclan", "en-us+f5", "en-us+klatt2", "en-gb-x-gbcwmd+m7",
    "en-us+Andy", "en-us+Alicia", "en-us+Michael",
)  # fmt: skip
NOISE_SEEDS = 12


def _shaped(sound: Sound, attack_s: float, decay_s: float) -> Sound:
    time = np.arange(len(sound)) / RATE_HZ
    return sound * np.minimum(time / attack_s, 1.0) * np.exp(-np.maximum(time - attack_s, 0) / decay_s)


def _band(sound: Sound, low_hz: float, high_hz: float) -> Sound:
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(sound))


def cough(random: np.random.Generator) -> Sound:
    """Two bursts of noise with a throat's resonances, and a little voice at their ends."""
    bursts = []
    for length_s in (0.25, 0.3):
        count = int(length_s * RATE_HZ)
        time = np.arange(count) / RATE_HZ
        breath = _band(random.normal(0, 1, count), 400, 3500)
        voice = np.sign(np.sin(2 * np.pi * random.uniform(120, 220) * time)) * 0.4
        bursts += [_shaped(breath + _band(voice, 200, 1500), 0.01, 0.07), np.zeros(int(0.08 * RATE_HZ))]
    return np.concatenate(bursts)


def _hum(random: np.random.Generator, begin_hz: float, end_hz: float, length_s: float) -> Sound:
    """A voice through the nose: harmonics that fade above some 300 Hz."""
    count = int(length_s * RATE_HZ)
    phase = 2 * np.pi * np.cumsum(np.linspace(begin_hz, end_hz, count)) / RATE_HZ
    tones = [np.sin(k * phase + random.uniform(0, 6)) / (1 + (k * begin_hz / 300) ** 2) for k in range(1, 12)]
    return np.sum(tones, axis=0) * np.hanning(count) ** 0.4


def mm_hmm(random: np.random.Generator) -> Sound:
    low = random.uniform(90, 220)
    length_s = random.uniform(0.15, 0.3)
    puff = _band(random.normal(0, 0.05, int(0.05 * RATE_HZ)), 300, 2500)
    return np.concatenate(
        [_hum(random, low, low, length_s), puff, _hum(random, low, 1.3 * low, length_s * 1.2)]
    )


def hmm(random: np.random.Generator) -> Sound:
    low = random.uniform(90, 220)
    return _hum(random, low, 0.85 * low, random.uniform(0.3, 0.6))


def door(random: np.random.Generator) -> Sound:
    count = int(0.5 * RATE_HZ)
    return _shaped(_band(random.normal(0, 1, count), 40, 500), 0.004, 0.09)


def keyboard(random: np.random.Generator) -> Sound:
    sound = np.zeros(int(1.2 * RATE_HZ))
    for at in np.sort(random.uniform(0, 1.1, 9)):
        click = _shaped(_band(random.normal(0, 1, 800), 1500, 7000), 0.001, 0.008)
        begin = int(at * RATE_HZ)
        sound[begin : begin + len(click)] += click
    return sound


def breath(random: np.random.Generator) -> Sound:
    count = int(0.9 * RATE_HZ)
    return _band(random.normal(0, 1, count), 500, 5000) * np.hanning(count)


NOISES: dict[str, Callable[[np.random.Generator], Sound]] = {
    "mm-hmm": mm_hmm,
    "hmm": hmm,
    "cough": cough,
    "door": door,
    "keyboard": keyboard,
    "breath": breath,
}


@dataclass(frozen=True)
class Overlapping:
    """One sound over the bot's speech. `wanted` says whether it means the bot to stop."""

    name: str
    wanted: bool
    make: Callable[[], Sound]

    @property
    def hashed(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()

    @property
    def held_out(self) -> bool:
        return self.hashed[0] % 2 == 1

    def pcm(self, lead_s: float = 0.6, tail_s: float = 1.5) -> bytes:
        """The sound in a quiet room, s16le at `RATE_HZ`."""
        random = np.random.default_rng(int.from_bytes(self.hashed[:8], "big"))
        sound = np.pad(self.make(), (int(lead_s * RATE_HZ), int(tail_s * RATE_HZ)))
        sound = sound + random.normal(0, 6, len(sound))
        return np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()


def _levelled(sound: Sound) -> Sound:
    return sound * (32768 * 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(sound**2)))


def overlapping() -> Iterator[Overlapping]:
    for voice in VOICES:
        for text in MURMURS:
            yield _said(voice, text, False)
        for text in INTERRUPTIONS:
            yield _said(voice, text, True)
    for kind, make in NOISES.items():
        for seed in range(NOISE_SEEDS):
            yield Overlapping(
                f"{kind}-{seed}",
                False,
                lambda make=make, seed=seed: _levelled(make(np.random.default_rng(seed))),
            )


def _said(voice: Voice, text: str, wanted: bool) -> Overlapping:
    return Overlapping(f"{voice.label}__{text.replace(' ', '_')}", wanted, lambda: speak(voice, text))


def other_voices() -> Iterator[Overlapping]:
    """Voices that no threshold has ever heard: for a check of what was tuned."""
    for name in OTHER_VOICES:
        voice = Voice("espeak", name)
        for text in MURMURS:
            yield _said(voice, text, False)
        for text in INTERRUPTIONS:
            yield _said(voice, text, True)
