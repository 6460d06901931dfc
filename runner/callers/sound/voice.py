"""The caller's voice: text to pcm, ready before it is needed."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from runner.audio.level import downmix
from runner.audio.resampler import RATES
from runner.callers.scenario.steps import USUAL_SPEED
from runner.errors import UsageError

VOICE = "en-us"
"""Of six that were tried over G.711, the one that the local ears understand best."""

LONGEST_WAV_S = 600


@dataclass(frozen=True, slots=True)
class Speech:
    """Mono pcm at `sample_rate` (Hz)."""

    pcm: bytes
    sample_rate: int


class CallerVoice:
    """The local voice (espeak-ng in a helper process), started at the first word."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int], Speech] = {}
        self._helper: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._voice: object | None = None

    async def speak(self, text: str, words_per_minute: int = USUAL_SPEED) -> Speech:
        """The sound of a text. Raises `MissingPackageError` if the voice is not installed."""
        key = (text, words_per_minute)
        if key not in self._said:
            self._said[key] = await self._synthesize(text, words_per_minute)
        return self._said[key]

    async def _synthesize(self, text: str, words_per_minute: int) -> Speech:
        from runner.services.local.voice import Sound, Voice

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
        UsageError: it cannot be read, or is not 16-bit pcm at a known rate.
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
        raise UsageError(f"{path} is no WAV file of 16-bit pcm") from None
    return Speech(downmix(pcm[: len(pcm) // (2 * channels) * 2 * channels], channels), rate)
