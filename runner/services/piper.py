"""Piper's voices on this machine: natural sound, no account, no network.

`piper-tts` is GPL-3, so it is an extra and is loaded only in a helper process, which all calls share. Install
a voice with `botrun models fetch piper en_US-lessac-medium`; nothing is downloaded during a call.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from functools import cache
from pathlib import Path

from runner.frames import Frame, TTSAudioRawFrame, TTSTextFrame
from runner.processors.base import ProcessorSetup
from runner.services.common import warmup
from runner.services.local.helpers import require_extra
from runner.services.local.helpers.process import Shared
from runner.services.local.tts import Sound, Voice, VoiceProgram
from runner.services.models import PIPER, need_model
from runner.services.tts import TTSService

HELPER = "runner.services.local.helpers.piper_helper"
VOICE = "en_US-lessac-medium"
START_TIMEOUT_S = 60.0


@cache
def shared_voice(path: str, speed: float, speaker: int | None) -> Shared[Voice]:
    """The process for this voice, shared by all calls."""
    options = json.dumps({"path": path, "speed": speed, "speaker": speaker})
    program = VoiceProgram(HELPER, "Piper", (options,), START_TIMEOUT_S, needs=_need_piper)
    return Shared(lambda: Voice(program))


def _need_piper() -> None:
    require_extra("piper", "piper-tts", PIPER, "PiperTTSService")


class PiperTTSService(TTSService):
    """Speaks with a voice of Piper.

    Word times come from the model's phoneme durations. espeak-ng, which generates the phonemes, merges some
    words and splits numbers; a word's time may then be that of its neighbour.

    Call `PiperTTSService.preload("en_US-lessac-medium")` at the top of a bot's file to load the voice before
    the first call; else the first call waits for it.

    Args:
        voice: a name from `botrun models`, or the path of a voice's `.onnx` (its `.onnx.json` beside it).
        speed: 1.0 is the voice's own; 1.2 is 20 % faster.
        speaker: the speaker's number, for a voice with several.
    """

    gives_word_times = True

    def __init__(
        self, *, voice: str = VOICE, speed: float = 1.0, speaker: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self._shared = self.preload(voice, speed, speaker)

    @classmethod
    def preload(cls, voice: str = VOICE, speed: float = 1.0, speaker: int | None = None) -> Shared[Voice]:
        """Load the voice before the first call. Raises if it, or its package, is missing."""
        _need_piper()
        path = need_model(PIPER, voice, cls.__name__)
        model = path / f"{voice}.onnx" if path.is_dir() else Path(path)
        shared = shared_voice(str(model), speed, speaker)
        warmup.register(f"piper {model}", shared.start, shared.stop)
        return shared

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        await self._shared.get()

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        voice = await self._shared.get()
        async with contextlib.aclosing(voice.synthesize(text)) as said:
            async for item in said:
                if isinstance(item, Sound):
                    yield TTSAudioRawFrame(item.pcm, voice.rate_hz)
                else:
                    yield TTSTextFrame(item.text, audio_offset_ms=item.offset_ms, joined=item.joined)
