"""Any OpenAI-compatible server as the language model, by streaming HTTP.

`POST {base_url}/chat/completions` with `"stream": true` (PyPI's `openai` 3.54.0,
`resources/chat/completions/completions.py`; `types/chat/completion_create_params.py` for `tools` and
`tool_choice`); `chat_stream` reads the answer.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from runner.errors import ServiceError, ServiceRefusal
from runner.frames import Frame, FunctionCall
from runner.processors.base import ProcessorSetup
from runner.processors.context import LLMContext, Message
from runner.services.common.chat_stream import ChatStream
from runner.services.common.failures import EmptyAnswer
from runner.services.common.service_http import Patience, ServiceHttp
from runner.services.llm import LLMService

logger = logging.getLogger(__name__)

MODEL = "gpt-4o-mini"
SILENCE_TIMEOUT_S = 20.0

AFTER_REASON_S = 2.0
LAST_EVENTS_S = 0.2
"""Time (s) to keep reading after a finish reason and after `[DONE]`."""


class OpenAILLMService(LLMService):
    """A language model with OpenAI's chat API: OpenAI, vLLM, llama.cpp, LM Studio, Groq, Mistral, Gemini, …

    It connects before the first question.

    Args:
        api_key: the key; default `OPENAI_API_KEY`. Optional with a `base_url`. Never logged.
        base_url: the server's address including `/v1`; None is OpenAI.
        model: the model's name.
        params: more fields of the request, such as `{"temperature": 0.3, "max_tokens": 200}`.
        silence_s: time (s) for the first content and between contents. Keep-alives and empty events do not
            count.
        sorry: what the bot says when the model fails before its first word.

    Errors are `ServiceError`s: the request was refused, the answer broke off, is empty, or is not a chat
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


ACKNOWLEDGED = "Okay."
"""The assistant's message inserted between a tool's and a user's."""

OPENING = "Hello."
"""The user's message inserted if the assistant speaks first, for servers that require one."""

NO_RESULT = '{"status": "no result"}'

_DEMANDS = re.compile(
    r"roles? must alternate|alternat\w* (?:user|role)|after the optional system message|expected last role"
    r"|(?:unexpected|incorrect|invalid) role|role (?:information|order)|system (?:message|role|prompt)\b.*\b"
    r"(?:begin|first|start|only|not supported)|only the first message|conversation roles",
    re.IGNORECASE,
)


def ordered(messages: Iterable[Mapping[str, object]]) -> list[Message]:
    """The messages in an order that OpenAI-compatible servers accept: each tool call has its answer, an
    assistant message separates a tool's from a user's, and no user message follows another.

    OpenAI accepts almost any order. Mistral's server refuses a user message after a tool's; llama.cpp, vLLM
    and LM Studio use the model's template, and many templates require one system message first and then
    alternating user and assistant messages.
    """
    made: list[Message] = []
    for message in _answered(messages):
        last = made[-1] if made else None
        role = message.get("role")
        if role == "assistant" and not message.get("tool_calls") and not message.get("content"):
            continue
        if last is not None and role == "user" and last.get("role") == "tool":
            made.append({"role": "assistant", "content": ACKNOWLEDGED})
            last = made[-1]
        if last is not None and _can_join(last, message):
            made[-1] = _joined(last, message)
        else:
            made.append(dict(message))
    return made


def alternating(messages: Iterable[Mapping[str, object]]) -> list[Message]:
    """`ordered`, for servers that also require one system message first and then a user message."""
    given = [dict(message) for message in messages]
    system = [message for message in given if message.get("role") in ("system", "developer")]
    talk = ordered(message for message in given if message.get("role") not in ("system", "developer"))
    if not talk or talk[0].get("role") != "user":
        talk.insert(0, {"role": "user", "content": OPENING})
    text = "\n\n".join(str(message.get("content") or "") for message in system if message.get("content"))
    return [{"role": "system", "content": text}, *talk] if text else talk


def demands_alternation(refusal: str) -> bool:
    """Whether a server's refusal is about the order of the messages' roles."""
    return _DEMANDS.search(refusal) is not None


def spoke_before_its_tools(messages: Sequence[Mapping[str, object]]) -> bool:
    """Whether the messages end with tool answers and the model spoke when it called the tools; then it need
    not say more."""
    for message in reversed(messages):
        if message.get("role") != "tool":
            return bool(message.get("tool_calls") and message.get("content"))
    return False


def _answered(messages: Iterable[Mapping[str, object]]) -> Iterable[Mapping[str, object]]:
    """Each call followed by its answer: drops answers without a call and adds missing ones."""
    waiting: list[object] = []
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") in waiting:
                waiting.remove(message.get("tool_call_id"))
                yield message
            continue
        yield from (_no_result(call_id) for call_id in waiting)
        waiting = [call.get("id") for call in _calls_of(message)]
        yield message
    yield from (_no_result(call_id) for call_id in waiting)


def _calls_of(message: Mapping[str, object]) -> list[Mapping[str, object]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []


def _no_result(call_id: object) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}


def _can_join(first: Mapping[str, object], second: Mapping[str, object]) -> bool:
    roles = (first.get("role"), second.get("role"))
    if roles == ("user", "user"):
        return first.get("name") == second.get("name")
    both_text = isinstance(first.get("content"), str) and isinstance(second.get("content") or "", str)
    return roles == ("assistant", "assistant") and not first.get("tool_calls") and both_text


def _joined(first: Message, second: Mapping[str, object]) -> Message:
    one, two = first.get("content") or "", second.get("content") or ""
    content: object
    if isinstance(one, str) and isinstance(two, str):
        content = f"{one} {two}".strip() if first.get("role") == "assistant" else f"{one}\n{two}".strip()
    else:
        content = [*_parts(one), *_parts(two)]
    return {**first, **second, "content": content}


def _parts(content: object) -> list[object]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
