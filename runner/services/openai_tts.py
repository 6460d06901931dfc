"""Streamed voices of any OpenAI-compatible server.

Read from PyPI's `openai` 3.54.0: `resources/audio/speech.py`, `POST /audio/speech`;
`types/audio/speech_create_params.py`: `input`, `model`, `voice`, `response_format: "pcm"`, `instructions`,
`speed`. The response body is the sound as it is generated: s16le mono at 24 kHz, according to OpenAI's guide.
Not tried against OpenAI itself. It sends no word times; they are estimated with a typical speed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from runner.errors import ServiceError
from runner.frames import Frame, TTSAudioRawFrame
from runner.processors.base import ProcessorSetup
from runner.services.common.failures import own_words
from runner.services.common.service_http import ServiceHttp
from runner.services.common.sound_format import SoundReader
from runner.services.tts import TTSService

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

MODEL = "gpt-4o-mini-tts"
VOICE = "alloy"
SAMPLE_RATE_HZ = 24000
SILENCE_TIMEOUT_S = 8.0


class OpenAITTSService(TTSService):
    """A voice with OpenAI's speech API: OpenAI, Kokoro-FastAPI, Speaches, LocalAI, …

    Args:
        api_key: the key; default `OPENAI_API_KEY`. Optional with a `base_url`. Never logged.
        base_url: the server's address including `/v1`; None is OpenAI.
        model: the model's name.
        voice: the voice's name.
        instructions: how to speak, for models that take instructions.
        speed: 0.25 to 4.0; None is the server's default.
        sample_rate: Hz of the server's raw pcm; a WAV header takes precedence.

    Raw pcm and WAV are played. Other containers (MP3, Ogg, …) are refused with a `ServiceError`.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str = MODEL,
        voice: str = VOICE,
        instructions: str | None = None,
        speed: float | None = None,
        sample_rate: int = SAMPLE_RATE_HZ,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._http = ServiceHttp(self, api_key=api_key, base_url=base_url)
        wanted = {"model": model, "voice": voice, "instructions": instructions, "speed": speed}
        self._request: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        self._rate = sample_rate
        self._noted = False

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._http.open()

    async def cleanup(self) -> None:
        await self._http.aclose()

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        request = {**self._request, "input": text, "response_format": "pcm"}
        async with self._http.post("/audio/speech", silence_s=SILENCE_TIMEOUT_S, json=request) as answer:
            kind = answer.headers.get("content-type", "").partition(";")[0]
            await self._check_is_sound(answer, kind)
            reader = SoundReader(self._http.service, self._rate, kind)
            async for data in answer.aiter_bytes():
                if pcm := reader.feed(data):
                    yield TTSAudioRawFrame(pcm, reader.sample_rate)
            if pcm := reader.close():
                yield TTSAudioRawFrame(pcm, reader.sample_rate)
            self._note(reader)

    async def _check_is_sound(self, answer: httpx2.Response, kind: str) -> None:
        if kind.startswith("text/") or kind == "application/json":
            text = own_words(await answer.aread())
            raise ServiceError(f"{self._http.service} sent {kind} instead of sound: {text}{self._http.hint}")

    def _note(self, reader: SoundReader) -> None:
        """Warn once about audio that had to be converted."""
        if reader.converted and not self._noted:
            self._noted = True
            logger.warning("%s: %s sends %s; converted", self.name, self._http.service, reader.converted)
