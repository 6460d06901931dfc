"""A language model on this machine or the next: any Ollama server.

Ollama answers OpenAI's chat API below `/v1`, and lists the models that were pulled at `/v1/models`. Its port
11434 is in PyPI's `ollama` 0.6.3 (`_client.py`); the rest is unconfirmed without a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from runner.errors import ServiceError, ServiceRefusal
from runner.frames import Frame, FunctionCall
from runner.processors.base import ProcessorSetup
from runner.processors.context import LLMContext
from runner.services.common.failures import push_failure
from runner.services.openai import OpenAILLMService

BASE_URL = "http://127.0.0.1:11434/v1"
MODEL = "llama3.2"
SILENCE_TIMEOUT_S = 60.0
"""Long, because the first question loads the model into memory."""


class OllamaLLMService(OpenAILLMService):
    """Uses an Ollama server; its errors say what to do if the server is not running or lacks the model.

    Args:
        model: the name shown by `ollama list`.
        base_url: the server's address including `/v1`.
        params, silence_s, sorry: as for `OpenAILLMService`.
    """

    def __init__(
        self,
        *,
        model: str = MODEL,
        base_url: str = BASE_URL,
        params: Mapping[str, Any] | None = None,
        silence_s: float = SILENCE_TIMEOUT_S,
        sorry: str = "",
        name: str | None = None,
    ) -> None:
        super().__init__(
            api_key="ollama",
            base_url=base_url,
            model=model,
            params=params,
            silence_s=silence_s,
            sorry=sorry,
            name=name,
        )
        self._base_url = base_url

    async def setup(self, setup: ProcessorSetup) -> None:
        await super(OpenAILLMService, self).setup(setup)
        self._http.open(connect=False)
        self.create_task(self._check(), "check")

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        try:
            async with contextlib.aclosing(super().run_llm(context)) as pieces:
                async for piece in pieces:
                    yield piece
        except ServiceError as error:
            raise self._explained(error) from error

    async def _check(self) -> None:
        """Check that the server runs and has the model, before the first question."""
        try:
            models = await self._http.get_json("/models")
        except ServiceError as error:
            await push_failure(self, self._explained(error))
            return
        listed = models.get("data") if isinstance(models, Mapping) else None
        names = [str(model.get("id")) for model in listed or () if isinstance(model, Mapping)]
        if names and self.model not in names and f"{self.model}:latest" not in names:
            await push_failure(self, self._not_pulled())

    def _explained(self, error: ServiceError) -> ServiceError:
        if isinstance(error, ServiceRefusal):
            return self._not_pulled() if error.status == 404 else error
        if "cannot be reached" in str(error):
            return ServiceError(f"no Ollama answers at {self._base_url}: start it with `ollama serve`")
        return error

    def _not_pulled(self) -> ServiceError:
        return ServiceError(f"Ollama has no model {self.model}: fetch it with `ollama pull {self.model}`")
