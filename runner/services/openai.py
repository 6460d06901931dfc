"""Any OpenAI-compatible server as the language model, by streaming HTTP.

Wire: `POST {base_url}/chat/completions` with `"stream": true` (PyPI's `openai` 3.54.0,
`resources/chat/completions/completions.py`; `types/chat/completion_create_params.py` for `tools` and
`tool_choice`); `chat_stream` reads the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from runner.errors import ServiceError
from runner.frames import Frame, FunctionCall
from runner.processors.base import ProcessorSetup
from runner.processors.context import LLMContext
from runner.services.common.service_http import ServiceHttp
from runner.services.llm import LLMService
from runner.services.text.chat_stream import ChatStream

MODEL = "gpt-4o-mini"
SILENCE_TIMEOUT_S = 20.0


class OpenAILLMService(LLMService):
    """Asks a server that speaks OpenAI's chat API. The connection is opened before it is needed.

    Args:
        api_key: without it, `OPENAI_API_KEY`; a server of one's own may need none. Never logged.
        base_url: the server, up to and with `/v1`; None is OpenAI's own.
        model: which of its models.
        params: more fields of the request, as `{"temperature": 0.3, "max_tokens": 200}`.
        silence_s: how long (s) it may take to answer, and to go on.
        sorry: said when it cannot answer and has not begun to.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
        params: Mapping[str, Any] | None = None,
        silence_s: float = SILENCE_TIMEOUT_S,
        sorry: str = "",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._http = ServiceHttp(self, api_key=api_key, base_url=base_url)
        self._params = dict(params or {})
        self._silence_s = silence_s
        self.model = model or MODEL
        self.sorry = sorry

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._http.open()

    async def cleanup(self) -> None:
        await self._http.aclose()

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        stream = ChatStream(self._http.service)
        request = self._request(context)
        async with self._http.post("/chat/completions", silence_s=self._silence_s, json=request) as answer:
            async for line in answer.aiter_lines():
                if text := stream.feed(line):
                    yield text
        if not stream.complete:
            raise ServiceError(f"{self._http.service} broke off in the middle of its answer")
        for call in stream.calls():
            yield call

    def _request(self, context: LLMContext) -> dict[str, Any]:
        request = {"model": self.model, "messages": context.messages, "stream": True, **self._params}
        if tools := self.toolbox.definitions(context.tools):
            request["tools"] = tools
            if self.toolbox.withheld:
                request["tool_choice"] = "none"
        return request
