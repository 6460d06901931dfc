"""What streams from a chat server: server-sent lines in, text and calls of tools out. Pure.

Wire, read from PyPI's `openai` 3.54.0: `types/chat/chat_completion_chunk.py` (a `delta` of a choice holds
`content`, `refusal`, and `tool_calls`, whose `function.arguments` come in pieces, joined by `index`;
`choices` may be empty), `_streaming.py` (`data: …` lines, an `error` object among them, `data: [DONE]` at the
end).

Unconfirmed without their servers: that some omit `index`, or give each call index 0 with an `id` of its own,
and that some end by `finish_reason` alone. All of it is understood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import ServiceError
from runner.frames import FunctionCall
from runner.services.common.refusals import own_words
from runner.services.tools.call import MalformedCall

_THINK, _THOUGHT = "<think>", "</think>"


@dataclass(slots=True)
class _Call:
    index: object
    call_id: str
    name: str
    arguments: str = ""


class ChatStream:
    """One streamed answer.

    Args:
        service: who answers, for sentences about it.

    Attributes:
        complete: the answer has come to its end.
    """

    def __init__(self, service: str = "the server") -> None:
        self.complete = False
        self._service = service
        self._calls: list[_Call] = []
        self._thoughts = Thoughts()

    def feed(self, line: str) -> str:
        """The text in one line of the answer. Raises `ServiceError` for an error and for garbage."""
        if not line.startswith("data:"):
            return ""  # comments, and fields that say nothing here
        data = line[5:].strip()
        if data == "[DONE]":
            self.complete = True
            return ""
        choices = self._event(data).get("choices") or [{}]
        choice = choices[0] if isinstance(choices, list) and isinstance(choices[0], Mapping) else {}
        if choice.get("finish_reason"):
            self.complete = True
        delta = choice.get("delta")
        return self._delta(delta) if isinstance(delta, Mapping) else ""

    def calls(self) -> list[FunctionCall]:
        """The tools that the model wants called, once the answer is complete."""
        return [_as_call(call, number) for number, call in enumerate(self._calls)]

    def _event(self, data: str) -> Mapping[str, Any]:
        try:
            event = json.loads(data)
        except ValueError:
            raise ServiceError(f"{self._service} sent what is not JSON: {data[:80]!r}") from None
        if not isinstance(event, Mapping):
            raise ServiceError(f"{self._service} sent what is not an object: {own_words(data)[:80]!r}")
        if event.get("error"):
            raise ServiceError(f"{self._service} broke off: {own_words(data)}")
        return event

    def _delta(self, delta: Mapping[str, Any]) -> str:
        for piece in delta.get("tool_calls") or ():
            if isinstance(piece, Mapping):
                self._join(piece)
        text = delta.get("content") or delta.get("refusal")
        return self._thoughts.feed(text) if isinstance(text, str) else ""

    def _join(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        index, call_id = piece.get("index"), str(piece.get("id") or "")
        name = str(function.get("name") or "")
        call = self._open_call(index)
        if call is None or (call_id and name and call.call_id not in ("", call_id)):
            call = _Call(index, call_id, "")
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        call.name = call.name or name
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments)
        call.arguments += arguments or ""

    def _open_call(self, index: object) -> _Call | None:
        return next((call for call in reversed(self._calls) if call.index == index), None)


class Thoughts:
    """Leaves out what a model thinks aloud, in `<think>` at the beginning of its answer."""

    def __init__(self) -> None:
        self._held = ""
        self._open = True

    def feed(self, text: str) -> str:
        """What of the text is meant for the user."""
        if not self._open:
            return text
        self._held += text
        begin = self._held.lstrip()
        if _THINK.startswith(begin[: len(_THINK)]):
            _, end, rest = begin.partition(_THOUGHT)
            if not end:
                return ""
            begin = rest.lstrip()
        else:
            begin = self._held
        self._open, self._held = False, ""
        return begin


def _as_call(call: _Call, number: int) -> FunctionCall:
    call_id = call.call_id or f"call_{number}"
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return MalformedCall(call.name, call_id, {}, call.arguments)
    return FunctionCall(call.name, call_id, arguments)
