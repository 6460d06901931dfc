"""The sentences, voices and noises that the local ears are measured with.

A file's name is `<engine>-<voice>__<sentence>`; whether it serves for tuning or is held out is decided by
a hash of that name alone, before any threshold exists. A noisy copy stays on the side of its clean original.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runner.audio.resampler import Resampler
from runner.services.local.stt import Widener

Sound = npt.NDArray[np.float64]

RATE_HZ = 16000
LEVEL_DBFS = -23.0
SNR_DB = 15.0
LEAD_S = 0.30
TAIL_S = 0.40
CONDITIONS = ("clean", "white", "babble", "phone")
"""A quiet room; 15 dB of noise; 15 dB of six people talking; a quiet room by telephone, at 8 kHz."""

IN_GRAMMAR = (
    "what time is it",
    "what time is it please",
    "can you tell me the time",
    "what's the time",
    "what is the time",
    "tell me the time",
    "what day is it",
    "what day is it today",
    "what's the date",
    "what is the date today",
    "tell me a joke",
    "tell me a joke please",
    "tell me another joke",
    "another joke please",
    "please tell me a joke",
    "count to three",
    "count to five",
    "count to ten",
    "count to thirteen",
    "can you count to twenty",
    "count to seven please",
    "repeat after me hello world",
    "repeat after me good morning",
    "repeat after me the red house",
    "repeat after me my little cat",
    "repeat after me blue water",
    "help",
    "help me please",
    "what can you do",
    "hello",
    "hi there",
    "good morning",
    "good evening",
    "thank you",
    "thank you very much",
    "thanks",
    "stop",
    "stop please",
    "yes",
    "yes please",
    "no",
    "no thank you",
    "goodbye",
    "bye bye",
    "bye",
)

OUT_OF_GRAMMAR = (
    "i would like to order a large pizza",
    "where is the nearest train station",
    "the weather is lovely this afternoon",
    "play some music in the kitchen",
    "turn off the lights in the bedroom",
    "my brother bought a new bicycle",
    "how much does a ticket to london cost",
    "what is the capital of france",
    "what color is the sky",
    "tell me about yourself",
    "tell me a story about dragons",
    "i can not find my keys anywhere",
    "she sells sea shells by the sea shore",
    "we should leave before it gets dark",
    "call my mother on her mobile",
    "set an alarm for half past six",
    "the meeting was moved to thursday",
    "do you speak any other languages",
    "who won the football match yesterday",
    "please send the report by friday",
    "there is a problem with my account",
    "could you spell your name for me",
    "computer",
    "pizza",
    "banana",
    "elephant",
    "university",
    "maybe later",
    "i am not sure",
    "of course not",
    "open the window",
    "book a table for four people",
    "it costs twenty five dollars",
    "the children are playing in the garden",
    "an apple a day keeps the doctor away",
    "he wants to become an engineer",
    "remember to buy milk and bread",
    "why is the ocean salty",
    "when does the museum open",
    "i have been waiting for an hour",
)

BABBLE_TEXT = (
    "so yesterday we went over to the office and nobody had told us that the place was closed",
    "the trouble with these machines is that you never really know whether somebody has emptied them",
    "if you follow the river for about two miles there is a small village with an excellent bakery",
    "my grandmother used to say that every garden needs three things and patience is the first of them",
    "they announced another delay so everyone sat down again and began to complain about the railway",
    "numbers were called from behind the counter while a dozen people pushed towards the door",
)


@dataclass(frozen=True)
class Voice:
    """One voice of one engine. `narrow` marks telephone bandwidth (made at 8 kHz), reported separately."""

    engine: str
    name: str
    narrow: bool = False

    @property
    def label(self) -> str:
        return f"{self.engine}-{self.name}"


VOICES = (
    Voice("espeak", "en-us"),
    Voice("espeak", "en-gb"),
    Voice("espeak", "en-gb-scotland"),
    Voice("espeak", "en-us+f3"),
    Voice("espeak", "en-gb-x-rp+f2"),
    Voice("flite", "awb"),
    Voice("flite", "rms"),
    Voice("flite", "slt"),
    Voice("flite", "kal16"),
    Voice("flite", "kal", narrow=True),
    Voice("festival", "kal_diphone"),
    Voice("festival", "cmu_us_slt_arctic_hts"),
)
BABBLE_VOICES = tuple(v for v in VOICES if not v.narrow)[:6]


@dataclass(frozen=True)
class Item:
    """One sentence by one voice."""

    voice: Voice
    text: str
    in_grammar: bool

    @property
    def name(self) -> str:
        return f"{self.voice.label}__{self.text.replace(' ', '_')}"

    @property
    def held_out(self) -> bool:
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1


def items() -> Iterator[Item]:
    for voice in VOICES:
        for text in IN_GRAMMAR:
            yield Item(voice, text, True)
        for text in OUT_OF_GRAMMAR:
            yield Item(voice, text, False)


def _command(voice: Voice, text: str, path: str) -> list[str]:
    if voice.engine == "espeak":
        return ["espeak-ng", "-v", voice.name, "-s", "155", "-w", path, text]
    if voice.engine == "flite":
        return ["flite", "-voice", voice.name, "-t", text, "-o", path]
    return ["text2wave", "-eval", f"(voice_{voice.name})", "-o", path]


def speak(voice: Voice, text: str) -> Sound:
    """The sentence at 16 kHz, trimmed of silence and at the common level."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "speech.wav")
        subprocess.run(
            _command(voice, text, path), input=text, text=True, check=True, capture_output=True, timeout=60
        )
        with wave.open(path) as speech:
            rate = speech.getframerate()
            pcm = np.frombuffer(speech.readframes(speech.getnframes()), "<i2").astype(np.float64)
    return _levelled(_trimmed(_resampled(pcm, rate)))


def _resampled(pcm: Sound, rate_hz: int) -> Sound:
    """Windowed-sinc interpolation: slow and plain, for making test sound only."""
    if rate_hz == RATE_HZ:
        return pcm
    half = 32
    cutoff = min(1.0, RATE_HZ / rate_hz) * 0.97
    where = np.arange(int(len(pcm) * RATE_HZ / rate_hz)) * (rate_hz / RATE_HZ)
    taps = np.arange(-half, half + 1)
    index = np.floor(where).astype(int)[:, None] + taps
    offset = where[:, None] - index
    kernel = (
        cutoff * np.sinc(cutoff * offset) * (0.5 + 0.5 * np.cos(np.pi * np.clip(offset / (half + 1), -1, 1)))
    )
    padded = np.pad(pcm, half + 1)
    made: Sound = (padded[np.clip(index + half + 1, 0, len(padded) - 1)] * kernel).sum(axis=1)
    return made


def _trimmed(pcm: Sound) -> Sound:
    loud = np.flatnonzero(np.abs(pcm) > 0.01 * np.abs(pcm).max())
    return pcm[loud[0] : loud[-1] + 1]


def _levelled(pcm: Sound) -> Sound:
    return pcm * (32768 * 10 ** (LEVEL_DBFS / 20) / _rms(pcm))


def _rms(pcm: Sound) -> float:
    return float(np.sqrt(np.mean(pcm**2)))


@functools.cache
def babble() -> Sound:
    """Six talkers at once, about as long as the shortest of their sentences."""
    talkers = [speak(voice, text) for voice, text in zip(BABBLE_VOICES, BABBLE_TEXT, strict=True)]
    length = min(len(talker) for talker in talkers)
    mixed: Sound = np.sum([talker[:length] for talker in talkers], axis=0)
    return mixed


def with_noise(speech: Sound, condition: str, name: str) -> bytes:
    """Speech with the silence that the VAD leaves around it, in a quiet room or in noise: s16le."""
    seed = int.from_bytes(hashlib.sha256(f"{name}/{condition}".encode()).digest()[:8], "big")
    random = np.random.default_rng(seed)
    sound = np.pad(speech, (int(LEAD_S * RATE_HZ), int(TAIL_S * RATE_HZ)))
    sound = sound + random.normal(0, 6, len(sound))  # a quiet room: -75 dBFS
    if condition in ("white", "babble"):
        noise = _noise(condition, len(sound), random)
        sound = sound + noise * (_rms(speech) / _rms(noise) / 10 ** (SNR_DB / 20))
    pcm = np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
    return _by_telephone(pcm) if condition == "phone" else pcm


def _by_telephone(pcm: bytes) -> bytes:
    """Cut to 8 kHz, and back to the ears as `LocalSTTService` does it."""
    line = Resampler(RATE_HZ, 8000)
    return Widener().process(line.process(pcm) + line.flush())


def _noise(condition: str, length: int, random: np.random.Generator) -> Sound:
    if condition == "white":
        return random.normal(0, 1, length)
    return np.take(babble(), np.arange(length) + int(random.integers(len(babble()))), mode="wrap")
