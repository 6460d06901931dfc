"""Services for these bots on the base classes of Pipecat's: a script instead of vendors.

The recogniser hears the script's next line when speech ends, the model answers "You said …", the voice is a
tone. They take 60 ms, 60 ms and 60 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

TAKES_S = 0.06
SECONDS_PER_CHARACTER = 0.02


class LoudnessVAD(VADAnalyzer):
    """Takes what is loud for speech."""

    def __init__(self) -> None:
        super().__init__(params=VADParams(confidence=0.5, start_secs=0.1, stop_secs=0.2, min_volume=0.0))

    def num_frames_required(self) -> int:
        return self.sample_rate // 50

    def voice_confidence(self, buffer: bytes) -> float:
        samples = np.frombuffer(buffer, np.int16).astype(np.float32)
        return float(np.sqrt((samples**2).mean()) > 400)


class ScriptedSTT(STTService):
    """Understands "line 1", "line 2", … whatever is said."""

    def __init__(self) -> None:
        super().__init__(settings=STTSettings(model="scripted", language=None))
        self._count = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._count += 1
            await asyncio.sleep(TAKES_S)
            heard = TranscriptionFrame(f"line {self._count}", "", time_now_iso8601(), finalized=True)
            await self.push_frame(heard)


class ScriptedLLM(LLMService):
    """Answers with the prompt's first word and the user's last words."""

    def __init__(self) -> None:
        nothing: dict[str, Any] = dict.fromkeys(
            ("temperature", "max_tokens", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed")
        )
        super().__init__(settings=LLMSettings(
            model="scripted", system_instruction=None, filter_incomplete_user_turns=False,
            user_turn_completion_config=None, **nothing,
        ))  # fmt: skip

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        messages = frame.context.get_messages()
        said = [m["content"] for m in messages if m["role"] == "user"]
        prompt = messages[0]["content"] if messages[0]["role"] == "system" else ""
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(TAKES_S)
        words = (
            f"{prompt.split()[0]} heard {len(said)}: {said[-1]}." if said else f"{prompt.split()[0]} greets."
        )
        for word in words.split():
            await self._push_llm_text(f"{word} ")
        await self.push_frame(LLMFullResponseEndFrame())


class ToneTTS(TTSService):
    """Speaks a tone, 20 ms a character."""

    def __init__(self, sample_rate: int = 24000) -> None:
        super().__init__(
            sample_rate=sample_rate,
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=0.3,
            settings=TTSSettings(model="scripted", voice="tone", language=None),
        )

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(TAKES_S)
        rate = self.sample_rate
        times = np.arange(int(rate * SECONDS_PER_CHARACTER * len(text))) / rate
        pcm = (np.sin(2 * np.pi * 440 * times) * 8000).astype("<i2").tobytes()
        step = rate // 10 * 2
        for start in range(0, len(pcm), step):
            yield TTSAudioRawFrame(pcm[start : start + step], rate, 1, context_id=context_id)
