"""A tool's schema written by hand, for those who bring one along: Pipecat's two classes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """What a tool does and takes. `properties` is JSON schema by parameter; the function itself is given to
    `llm.register_function(name, handler)`."""

    name: str
    description: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: Sequence[str] = ()

    def definition(self) -> dict[str, Any]:
        """As OpenAI's chat API takes it."""
        parameters = {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
        }
        return define(self.name, self.description, parameters)


@dataclass(frozen=True, slots=True)
class ToolsSchema:
    """Several tools: functions, `FunctionSchema`s, or OpenAI's own definitions."""

    standard_tools: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.standard_tools)


def define(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One tool in OpenAI's shape (openai 3.54.0, types/chat/chat_completion_function_tool_param.py and
    types/shared_params/function_definition.py)."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}
