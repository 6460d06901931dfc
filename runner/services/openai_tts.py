"""A voice of any OpenAI-compatible server, streamed.

Wire, read from PyPI's `openai` 3.54.0: `resources/audio/speech.py`, `POST /audio/speech`;
`types/audio/speech_create_params.py`: `input`, `model`, `voice`, `response_format: "pcm"`, `instructions`,
`speed`. The answer's body is the sound, as it is made: s16le mono at 24 kHz by OpenAI's guide to speech.
Unconfirmed without an account. It tells no word times: words are placed by a usual speed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from runner.errors import ServiceError
from runner.frames import Frame, TTSAudioRawFrame
from runner.processors.base import ProcessorSetup
from runner.services.common.refusals import own_words
from runner.services.common.service_http import ServiceHttp
from runner.services.tts import TTSService

if TYPE_CHECKING:
    import httpx2

MODEL = "gpt-4o-mini-tts"
VOICE = "alloy"
SAMPLE_RATE_HZ = 24000
SILENCE_TIMEOUT_S = 8.0


class OpenAITTSService(TTSService):
    """Speaks with a server that speaks OpenAI's speech API.

    Args:
        api_key: without it, `OPENAI_API_KEY`; a server of one's own may need none.
        base_url: the server, up to and with `/v1`; None is OpenAI's own.
        model: which of its models.
        voice: which of its voices.
        instructions: how to speak, for models that can be told.
        speed: 0.25 to 4.0; None is the server's own.
        sample_rate: Hz of the server's pcm.
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

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._http.open()

    async def cleanup(self) -> None:
        await self._http.aclose()

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        request = {**self._request, "input": text, "response_format": "pcm"}
        async with self._http.post("/audio/speech", silence_s=SILENCE_TIMEOUT_S, json=request) as answer:
            await self._see_that_it_is_sound(answer)
            half = b""
            async for data in answer.aiter_bytes():
                data = half + data
                whole = len(data) - len(data) % 2
                half = data[whole:]
                if whole:
                    yield TTSAudioRawFrame(data[:whole], self._rate)

    async def _see_that_it_is_sound(self, answer: httpx2.Response) -> None:
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if kind.startswith("text/") or kind == "application/json":
            text = own_words(await answer.aread())
            raise ServiceError(f"{self._http.service} sent {kind} instead of sound: {text}")
