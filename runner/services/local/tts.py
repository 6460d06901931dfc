"""`LocalTTSService`: a voice with espeak-ng."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from runner.frames import Frame, TTSAudioRawFrame, TTSTextFrame
from runner.processors.base import ProcessorSetup
from runner.services.common import warmup
from runner.services.local.helpers import VOICE_PACKAGE, require
from runner.services.local.voice import VOICE, WORDS_PER_MINUTE, Sound, shared_voice
from runner.services.tts import TTSService

PAUSE_S = 0.15
"""How much (s) of the digital silence after each utterance stays. espeak-ng adds 0.33 s; this is enough
between two sentences, and the call ends soon after the last word."""


class LocalTTSService(TTSService):
    """Speaks with espeak-ng, in a process that all calls share: clear and fast, but plainly a machine.

    The audio is 22,050 Hz mono; each word has its time.

    Args:
        voice: one of espeak-ng's voices, such as "en-us", "en-gb", "en-gb-scotland", "en-us+f3".
        rate: words per minute, 80 to 450.
    """

    gives_word_times = True

    def __init__(self, *, voice: str = VOICE, rate: int = WORDS_PER_MINUTE, name: str | None = None) -> None:
        super().__init__(name=name)
        require(VOICE_PACKAGE, type(self).__name__)
        self._voice = voice
        self._rate = rate

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        await shared_voice.get()

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        voice = await shared_voice.get()
        said = voice.synthesize(text, voice=self._voice, rate=self._rate)
        pause = bytearray()
        async with contextlib.aclosing(said):
            async for item in said:
                if isinstance(item, Sound):
                    sound, pause = _without_pause(bytes(pause) + item.pcm)
                    if sound:
                        yield TTSAudioRawFrame(sound, voice.rate_hz)
                else:
                    yield TTSTextFrame(item.text, audio_offset_ms=item.offset_ms, joined=item.joined)
        rest = bytes(pause[: int(PAUSE_S * voice.rate_hz) * 2])
        if rest:
            yield TTSAudioRawFrame(rest, voice.rate_hz)


def _without_pause(pcm: bytes) -> tuple[bytes, bytearray]:
    """The audio up to its last sample that is not zero, and the digital silence after it."""
    end = len(pcm.rstrip(b"\0"))
    end += end % 2
    return pcm[:end], bytearray(pcm[end:])


warmup.register("the local voice", shared_voice.start, shared_voice.stop)
