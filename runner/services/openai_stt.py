"""Recognition by any OpenAI-compatible server, one utterance at a time.

Read from PyPI's `openai` 3.54.0: `resources/audio/transcriptions.py`, `POST /audio/transcriptions`,
multipart; `types/audio/transcription_create_params.py`: `file` whose name ends with its format, `model`,
`language`, `prompt`, `response_format` (`json` is the one that all models know);
`types/audio/transcription.py`: `{"text": …}`. Not tried against OpenAI itself.
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from runner.errors import ServiceError
from runner.frames import Frame, MetricsFrame, TranscriptionFrame
from runner.processors.base import ProcessorSetup
from runner.services.common.failures import own_words
from runner.services.common.service_http import ServiceHttp
from runner.services.common.spoken_text import spoken_part
from runner.services.stt import SegmentedSTTService

if TYPE_CHECKING:
    import httpx2

MODEL = "gpt-transcribe"
ANSWER_TIMEOUT_S = 15.0


class OpenAISTTService(SegmentedSTTService):
    """Recognition with OpenAI's transcription API: OpenAI, Groq, whisper.cpp, Speaches, …

    Each utterance is sent when the VAD detects its end. An answer that is only an annotation, such as
    "[BLANK_AUDIO]", gives an empty transcript.

    Args:
        api_key: the key; default `OPENAI_API_KEY`. Optional with a `base_url`. Never logged.
        base_url: the server's address including `/v1`; None is OpenAI.
        model: the model's name.
        language: such as "en"; None lets the model detect it.
        prompt: names and words to expect.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str = MODEL,
        language: str | None = "en",
        prompt: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._http = ServiceHttp(self, api_key=api_key, base_url=base_url)
        wanted = {"model": model, "language": language, "prompt": prompt, "response_format": "json"}
        self._form = {field: value for field, value in wanted.items() if value}

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._http.open()

    async def cleanup(self) -> None:
        await self._http.aclose()

    async def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        asked_at = self.processor_setup.clock()
        sound = ("speech.wav", as_wav(audio, self.sample_rate), "audio/wav")
        request = {"data": self._form, "files": {"file": sound}}
        async with self._http.post("/audio/transcriptions", silence_s=ANSWER_TIMEOUT_S, **request) as answer:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await answer.aread()
            except TimeoutError:
                raise ServiceError(
                    f"{self._http.service} did not answer within {ANSWER_TIMEOUT_S:g} s"
                ) from None
            text = self._text_of(answer)
        yield MetricsFrame("ttfb", self.name, (self.processor_setup.clock() - asked_at) * 1000)
        yield TranscriptionFrame(spoken_part(text))

    def _text_of(self, answer: httpx2.Response) -> str:
        try:
            text = answer.json()["text"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            words = own_words(answer.content)[:80]
            raise ServiceError(f"{self._http.service} sent no text: {words!r}{self._http.hint}")
        return text


def as_wav(pcm: bytes, sample_rate: int) -> bytes:
    """The pcm as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(pcm)
    return file.getvalue()
