"""Joins the pieces in which OpenAI-compatible servers stream a model's tool calls. Pure.

The form (openai 3.54.0, `types/chat/chat_completion_chunk.py`): the first piece of a call has `index`, `id`
and `function.name`, further ones have the same `index` and more of `function.arguments`. Servers differ: no
`index`, or 0 for every call; no `id`, one `id` for all calls, or another one with each piece; the name
repeated with each piece; arguments as an object, as JSON inside JSON, as `null`, repeated so far, or `{}`
followed by the real ones.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.frames import FunctionCall
from runner.services.tools.call import MalformedCall


@dataclass(slots=True)
class _Call:
    index: object
    call_id: str
    name: str
    pieces: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are complete JSON that says something."""
        return bool(_parsed(self.arguments))


class CallPieces:
    """The tool calls of one answer."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take one piece, as it stands in `tool_calls` of a delta or of a whole message."""
        function = piece.get("function")
        if not isinstance(function, Mapping):
            function = piece  # some put the name and the arguments beside the id
        name = str(function.get("name") or "")
        call_id = str(piece.get("id") or "")
        arguments = _as_text(function.get("arguments"))
        call = self._belongs_to(piece.get("index"), call_id, name, arguments)
        if call is None:
            call = _Call(piece.get("index"), call_id, name)
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        if name and name != call.name:
            call.name += name
        if arguments and not (call.is_whole and arguments == call.arguments):
            call.pieces.append(arguments)

    def calls(self) -> list[FunctionCall]:
        """The calls, once the answer is complete. Ids are unique."""
        made: list[FunctionCall] = []
        taken: set[str] = set()
        for call in self._calls:
            if not call.name and not call.arguments:
                continue
            call_id = call.call_id or f"call_{len(made)}"
            while call_id in taken:
                call_id = f"{call_id}_{len(made)}"
            taken.add(call_id)
            made.append(_as_call(call, call_id))
        return made

    def _belongs_to(self, index: object, call_id: str, name: str, arguments: str) -> _Call | None:
        """The call that this piece goes on with; None if it begins one."""
        call = self._candidate(index, call_id, name)
        if call is None or not name or not call.name:
            return call
        same_id = bool(call_id) and call_id == call.call_id
        if call_id and call.call_id and not same_id:
            return None
        if name != call.name:
            return call if self._goes_on_with_name(call, index, call_id) else None
        if call.is_whole:
            return call if same_id and arguments in ("", call.arguments) else None
        return call

    def _goes_on_with_name(self, call: _Call, index: object, call_id: str) -> bool:
        return index is not None and bool(call.call_id) and not call_id and not call.pieces

    def _candidate(self, index: object, call_id: str, name: str) -> _Call | None:
        calls = list(reversed(self._calls))
        if index is not None and (same := next((call for call in calls if call.index == index), None)):
            return same
        if index is None and call_id and (same := next((c for c in calls if c.call_id == call_id), None)):
            return same
        last = calls[0] if calls else None
        if index is not None:
            return None if name or call_id else last
        return None if name and call_id else last


def pieces_in(value: Any) -> Iterable[Mapping[str, Any]]:
    """What a delta has in `tool_calls`: a list, or one alone."""
    pieces = value if isinstance(value, list) else [value]
    return (piece for piece in pieces if isinstance(piece, Mapping))


def _as_text(arguments: Any) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def _as_call(call: _Call, call_id: str) -> FunctionCall:
    arguments = _parsed(call.arguments)
    if arguments is None:
        arguments = _repeated_so_far(call.pieces)
    if arguments is None:
        return MalformedCall(call.name, call_id, {}, call.arguments)
    return FunctionCall(call.name, call_id, arguments)


def _parsed(text: str) -> dict[str, Any] | None:
    """The object in this JSON; of several values behind each other the one that says something. None if it is
    no object; empty if there is nothing, or `null`."""
    decoder = json.JSONDecoder(strict=False)
    found: list[Any] = []
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except ValueError:
            return None
        if value not in ({}, None, ""):
            found.append(value)
        rest = rest[end:].lstrip()
    if not found:
        return {}
    if any(value != found[0] for value in found):
        return None
    if isinstance(found[0], str):  # JSON inside JSON
        return _parsed(found[0])
    return found[0] if isinstance(found[0], dict) else None


def _repeated_so_far(pieces: list[str]) -> dict[str, Any] | None:
    """The arguments where each piece repeats all that came before."""
    grows = all(later.startswith(earlier) for earlier, later in itertools.pairwise(pieces))
    return _parsed(pieces[-1]) if grows and len(pieces) > 1 else None
