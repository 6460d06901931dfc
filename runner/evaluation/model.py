"""The language model behind callers and judges: any OpenAI-compatible server, Ollama too.

A server on another machine is asked only if there is a key for it. Commands print the `host` they ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from runner.errors import UsageError
from runner.processors.base import FrameProcessor
from runner.server.access import is_loopback
from runner.services.common.chat_stream import ChatStream
from runner.services.common.service_http import KEY, OPENAI_URL, ServiceHttp
from runner.settings import is_set, read_keys

OLLAMA_URL = "http://127.0.0.1:11434/v1"
MODEL = "gpt-4o-mini"
SILENCE_S = 60.0

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which model to ask. "" takes `OPENAI_BASE_URL`, `OPENAI_MODEL` or, for Ollama, `OLLAMA_MODEL`."""

    base_url: str = ""
    name: str = ""

    def resolved(self) -> ModelChoice:
        """With what the environment says."""
        found = read_keys(("OLLAMA_MODEL", "OPENAI_BASE_URL", "OPENAI_MODEL", KEY))
        ollama = found.get("OLLAMA_MODEL", "")
        url = self.base_url or found.get("OPENAI_BASE_URL", "")
        if not url:
            url = OLLAMA_URL if ollama and KEY not in found else OPENAI_URL
        return ModelChoice(base_url=url, name=self.name or found.get("OPENAI_MODEL", "") or ollama or MODEL)

    @property
    def host(self) -> str:
        """The server that is asked."""
        return urlsplit(self.base_url).netloc


class Model(FrameProcessor):
    """Answers questions, one at a time.

    Args:
        choice: which model.

    Raises:
        UsageError: the server is on another machine, and there is no key for it.
    """

    def __init__(self, choice: ModelChoice) -> None:
        super().__init__(name="the model")
        self.choice = choice.resolved()
        host = urlsplit(self.choice.base_url).hostname or ""
        if not is_loopback(host) and not is_set(KEY):
            raise UsageError(
                f"{self.choice.host} is not on this machine: set {KEY} to ask it, or OPENAI_BASE_URL"
                " or OLLAMA_MODEL for a model of your own"
            )
        self._http = ServiceHttp(self, api_key=None, base_url=self.choice.base_url)
        self._http.open(connect=False)

    async def ask(self, messages: Sequence[Message]) -> str:
        """The answer's text.

        Raises:
            ServiceError: the server refused, broke off, or said nothing.
        """
        body = {"model": self.choice.name, "messages": list(messages), "temperature": 0, "stream": True}
        stream = ChatStream(self._http.service)
        text: list[str] = []
        async with self._http.post("/chat/completions", silence_s=SILENCE_S, json=body) as answer:
            async for data in answer.aiter_bytes():
                text += stream.feed(data)
                if stream.done:
                    break
        text += stream.close()
        return "".join(text).strip()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()
