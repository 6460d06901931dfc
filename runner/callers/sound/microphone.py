"""The caller's speech, sample by sample: pure.

The microphone is always open: `take` returns the next samples, of speech or silence. Positions are samples
since the start of the call.
"""

from __future__ import annotations

import contextlib
import wave
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from runner.audio.level import downmix
from runner.audio.resampler import RATES
from runner.callers.scenario.steps import USUAL_SPEED
from runner.errors import UsageError

AUDIBLE = 160
"""Minimum amplitude (of 32768; -46 dBFS) of an audible sample."""


class Manner(StrEnum):
    """How something is said: as a turn, to interrupt the bot, or as a backchannel ("mm-hmm")."""

    TURN = "turn"
    INTERRUPTION = "interruption"
    MURMUR = "murmur"


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance of the caller.

    Attributes:
        begin: position of its first audible sample, once it has started.
        end: position after its last audible sample, once it has started; where it was cut, if it was.
        done: whether all of it has been said.
    """

    text: str
    pcm: bytes
    manner: Manner = Manner.TURN
    begin: int | None = None
    end: int | None = None
    done: bool = False


def audible_part(pcm: bytes) -> tuple[int, int]:
    """First audible sample, and the one after the last; the whole length if all is silence."""
    audible = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)) >= AUDIBLE)
    if not len(audible):
        return 0, len(pcm) // 2
    return int(audible[0]), int(audible[-1]) + 1


class Microphone:
    """Speaks one utterance after another.

    Attributes:
        position: samples taken so far.
        utterances: the utterances that have started, in order.
    """

    def __init__(self) -> None:
        self.position = 0
        self.utterances: list[Utterance] = []
        self._waiting: deque[Utterance] = deque()
        self._rest = b""
        self._spoken = bytearray()

    def say(self, utterance: Utterance) -> Utterance:
        """Say this after what is being said."""
        self._waiting.append(utterance)
        return utterance

    @property
    def busy(self) -> bool:
        """Whether an utterance is being said or queued."""
        return bool(self._rest or self._waiting)

    def take(self, samples: int) -> bytes:
        """The next `samples` of pcm."""
        pcm = bytearray()
        while len(pcm) < 2 * samples and (self._rest or self._begin(len(pcm) // 2)):
            wanted = 2 * samples - len(pcm)
            pcm += self._rest[:wanted]
            self._rest = self._rest[wanted:]
            if not self._rest:
                self.utterances[-1].done = True
        pcm = pcm.ljust(2 * samples, b"\0")
        self.position += samples
        self._spoken += pcm
        return bytes(pcm)

    def _begin(self, offset: int) -> bool:
        if not self._waiting:
            return False
        utterance = self._waiting.popleft()
        first, last = audible_part(utterance.pcm)
        at = self.position + offset
        utterance.begin, utterance.end = at + first, at + last
        self.utterances.append(utterance)
        self._rest = utterance.pcm
        utterance.done = not self._rest
        return True

    def hush(self) -> None:
        """Stop at once."""
        self._waiting.clear()
        if self._rest:
            self._rest = b""
            last = self.utterances[-1]
            last.end = min(last.end or 0, self.position)

    def recording(self) -> bytes:
        """All audio since the start of the call, including silence, as pcm."""
        return bytes(self._spoken)


VOICE = "en-us"
"""The voice that the local STT understands best over G.711, of six tried."""

LONGEST_WAV_S = 600


@dataclass(frozen=True, slots=True)
class Speech:
    """Mono pcm at `sample_rate` (Hz)."""

    pcm: bytes
    sample_rate: int


class CallerVoice:
    """The local voice (espeak-ng in a helper process), started on first use."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], Speech] = {}
        self._helper: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._voice: object | None = None

    async def speak(self, text: str, words_per_minute: int = USUAL_SPEED) -> Speech:
        """Synthesize a text. Raises `MissingPackageError` if the voice is not installed."""
        key = (text, words_per_minute)
        if key not in self._said:
            self._said[key] = await self._synthesize(text, words_per_minute)
        return self._said[key]

    async def _synthesize(self, text: str, words_per_minute: int) -> Speech:
        from runner.services.local.tts import Sound, Voice

        if not isinstance(self._voice, Voice):
            self._voice = voice = Voice()
            self._helper.push_async_callback(voice.stop)
            await voice.start()
        voice = self._voice
        pcm = bytearray()
        async for part in voice.synthesize(text, voice=VOICE, rate=words_per_minute):
            if isinstance(part, Sound):
                pcm += part.pcm
        return Speech(bytes(pcm), voice.rate_hz)

    async def aclose(self) -> None:
        """End the helper process."""
        await self._helper.aclose()


@contextlib.asynccontextmanager
async def caller_voice() -> AsyncIterator[CallerVoice]:
    """A voice for one call."""
    voice = CallerVoice()
    try:
        yield voice
    finally:
        await voice.aclose()


def read_wav(path: Path) -> Speech:
    """A WAV file as mono pcm.

    Raises:
        UsageError: the file cannot be read, or is not 16-bit pcm at a known rate.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            if width != 2 or rate not in RATES:
                raise UsageError(
                    f"{path} has {8 * width}-bit samples at {rate} Hz; wanted are 16 bits at one of "
                    f"{', '.join(map(str, RATES))} Hz"
                )
            pcm = file.readframes(LONGEST_WAV_S * rate)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (wave.Error, EOFError):
        raise UsageError(f"{path} is not a WAV file of 16-bit PCM") from None
    return Speech(downmix(pcm[: len(pcm) // (2 * channels) * 2 * channels], channels), rate)
