"""Any OpenAI-compatible server as the language model, by streaming HTTP.

`POST {base_url}/chat/completions` with `"stream": true` (PyPI's `openai` 3.54.0,
`resources/chat/completions/completions.py`; `types/chat/completion_create_params.py` for `tools` and
`tool_choice`); `chat_stream` reads the answer.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from runner.errors import ServiceError, ServiceRefusal
from runner.frames import Frame, FunctionCall
from runner.processors.base import ProcessorSetup
from runner.processors.context import LLMContext
from runner.services.common.chat_order import (
    alternating,
    demands_alternation,
    ordered,
    spoke_before_its_tools,
)
from runner.services.common.chat_stream import ChatStream
from runner.services.common.refusals import EmptyAnswer
from runner.services.common.service_http import Patience, ServiceHttp
from runner.services.llm import LLMService

logger = logging.getLogger(__name__)

MODEL = "gpt-4o-mini"
SILENCE_TIMEOUT_S = 20.0

AFTER_REASON_S = 2.0
LAST_EVENTS_S = 0.2
"""How long to read on after a finish reason, and after `[DONE]`."""


class OpenAILLMService(LLMService):
    """A language model behind OpenAI's chat API: OpenAI, vLLM, llama.cpp, LM Studio, Groq, Mistral, Gemini, …
    It connects before the first question.

    Args:
        api_key: the key; default `OPENAI_API_KEY`. Optional with a `base_url`. Never logged.
        base_url: the server's address including `/v1`; None is OpenAI.
        model: the model's name.
        params: more fields of the request, as `{"temperature": 0.3, "max_tokens": 200}`.
        silence_s: how long (s) the server may take until its first content, and between two. Keep-alives and
            empty events do not count.
        sorry: what the bot says when the model fails before its first word.

    Errors are `ServiceError`s: the request was refused, the answer broke off, is empty, or is no chat
    completion. Each is logged and pushed upstream as an `ErrorFrame`; a `FallbackLLM` asks the next model.
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
        self._alternates = False
        self.model = model or MODEL
        self.sorry = sorry

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._http.open()

    async def cleanup(self) -> None:
        await self._http.aclose()

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        try:
            async with contextlib.aclosing(self._ask(context)) as pieces:
                async for piece in pieces:
                    yield piece
        except ServiceRefusal as refusal:
            if self._alternates or refusal.status != 400 or not demands_alternation(str(refusal)):
                raise
            logger.info("%s demands alternating roles; asking again with them", self._http.service)
            self._alternates = True
            async with contextlib.aclosing(self._ask(context)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _ask(self, context: LLMContext) -> AsyncGenerator[str | FunctionCall, None]:
        """One request and its answer."""
        stream = ChatStream(self._http.service, self._http.hint)
        request = self._request(context)
        patience = Patience(self._silence_s)
        async with self._http.post("/chat/completions", silence_s=self._silence_s, json=request) as answer:
            body = answer.aiter_bytes()
            while (data := await self._more(body, patience, stream)) is not None:
                before = (stream.content, stream.done)
                for text in stream.feed(data):
                    yield text
                if stream.done and not before[1]:
                    patience.restart(LAST_EVENTS_S)
                elif stream.content > before[0]:
                    patience.restart(AFTER_REASON_S if stream.finish_reason else self._silence_s)
        try:
            for text in stream.close():
                yield text
        except EmptyAnswer:
            if not spoke_before_its_tools(context.messages):
                raise
        if stream.finish_reason == "length":
            logger.warning("%s: %s cut its answer off: max_tokens reached", self.name, self._http.service)
        for call in stream.calls():
            yield call

    async def _more(self, body: AsyncIterator[bytes], patience: Patience, stream: ChatStream) -> bytes | None:
        """The next bytes; None when the answer is complete."""
        import httpx2

        try:
            return await patience.next(body)
        except (TimeoutError, httpx2.HTTPError) as error:
            if stream.complete:  # some servers never end the body, or drop the connection instead
                return None
            if not isinstance(error, TimeoutError):
                raise
            raise ServiceError(f"{self._http.service} sent no content for {patience.seconds:g} s") from None

    def _request(self, context: LLMContext) -> dict[str, Any]:
        messages = alternating(context.messages) if self._alternates else ordered(context.messages)
        request = {"model": self.model, "messages": messages, "stream": True, **self._params}
        if tools := self.toolbox.definitions(context.tools):
            request["tools"] = tools
            if self.toolbox.withheld:
                request["tool_choice"] = "none"
        return request
