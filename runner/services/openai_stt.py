"""Recognition by any OpenAI-compatible server, one utterance at a time.

Wire, read from PyPI's `openai` 3.54.0: `resources/audio/transcriptions.py`, `POST /audio/transcriptions`,
multipart; `types/audio/transcription_create_params.py`: `file` with a name that tells its kind, `model`,
`language`, `prompt`, `response_format` (`json` is the one that all models know);
`types/audio/transcription.py`: `{"text": …}`. Unconfirmed without an account.
"""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator

from runner.errors import ServiceError
from runner.frames import Frame, MetricsFrame, TranscriptionFrame
from runner.processors.base import ProcessorSetup
from runner.services.common.service_http import ServiceHttp
from runner.services.stt import SegmentedSTTService

MODEL = "gpt-transcribe"
ANSWER_TIMEOUT_S = 15.0


class OpenAISTTService(SegmentedSTTService):
    """Sends each utterance, when the VAD hears its end, to a server that speaks OpenAI's transcription API.

    Args:
        api_key: without it, `OPENAI_API_KEY`; a server of one's own may need none.
        base_url: the server, up to and with `/v1`; None is OpenAI's own.
        model: which of its models.
        language: as "en"; None lets the model find out.
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
        asked_at = self.lent.clock()
        sound = ("speech.wav", as_wav(audio, self.sample_rate), "audio/wav")
        request = {"data": self._form, "files": {"file": sound}}
        async with self._http.post("/audio/transcriptions", silence_s=ANSWER_TIMEOUT_S, **request) as answer:
            await answer.aread()
            try:
                text = str(answer.json()["text"])
            except (ValueError, LookupError, TypeError):
                raise ServiceError(f"{self._http.service} sent no text: {answer.text[:80]!r}") from None
        yield MetricsFrame("ttfb", self.name, (self.lent.clock() - asked_at) * 1000)
        yield TranscriptionFrame(text.strip())


def as_wav(pcm: bytes, sample_rate: int) -> bytes:
    """The pcm as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(pcm)
    return file.getvalue()
