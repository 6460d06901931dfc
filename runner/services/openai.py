"""Any OpenAI-compatible server as the language model, by streaming HTTP.

Wire: `POST {base_url}/chat/completions` with `"stream": true` answers with server-sent events, one
`data: {…}` line per piece and `data: [DONE]` at the end (OpenAI API reference, "Create chat completion").
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from runner.errors import ServiceError
from runner.frames import Frame
from runner.processors.base import ProcessorSetup
from runner.processors.context import LLMContext
from runner.services.llm import LLMService

if TYPE_CHECKING:
    import httpx2

BASE_URL = "https://api.openai.com/v1"
MODEL = "gpt-4o-mini"
CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 20.0
"""How long the server may take to be reached, and to send its next byte."""


class OpenAILLMService(LLMService):
    """Asks a server that speaks OpenAI's chat API.

    Args:
        api_key: sent as a bearer token; never logged.
        base_url: the server, up to and with `/v1`; None is OpenAI's own.
        model: which of its models.
    """

    def __init__(self, *, api_key: str, base_url: str | None = None, model: str | None = None) -> None:
        super().__init__()
        self._key = api_key
        self._url = f"{(base_url or BASE_URL).rstrip('/')}/chat/completions"
        self._model = model or MODEL
        self._client: httpx2.AsyncClient | None = None

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        import httpx2

        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=httpx2.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    async def cleanup(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        import httpx2

        assert self._client is not None
        request = {"model": self._model, "messages": context.messages, "stream": True}
        try:
            async with self._client.stream("POST", self._url, json=request) as response:
                if response.status_code != 200:
                    raise ServiceError(_refusal(response.status_code, await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith("data:") and (text := _piece(line[5:].strip())):
                        yield text
        except httpx2.HTTPError as error:
            raise ServiceError(f"{self._url} did not answer: {error or type(error).__name__}") from error


def _piece(data: str) -> str:
    """The text in one server-sent event; empty if it has none."""
    if data == "[DONE]":
        return ""
    try:
        event = json.loads(data)
    except ValueError:
        raise ServiceError(f"the server sent what is not JSON: {data[:80]!r}") from None
    if not isinstance(event, Mapping):
        raise ServiceError(f"the server sent what is not an object: {data[:80]!r}")
    if event.get("error"):
        raise ServiceError(_error_text(event))
    choices = event.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def _refusal(status: int, body: bytes) -> str:
    try:
        text = _error_text(json.loads(body))
    except ValueError:
        text = body[:200].decode("utf-8", "replace")
    hint = {401: " (check OPENAI_API_KEY)", 404: " (check OPENAI_BASE_URL and OPENAI_MODEL)"}.get(status, "")
    return f"the server answered {status}{hint}: {text}"


def _error_text(event: Any) -> str:
    error = event.get("error") if isinstance(event, Mapping) else None
    return str(error.get("message") or error) if isinstance(error, Mapping) else str(error or event)[:200]
