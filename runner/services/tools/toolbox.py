"""The tools of one language model: their definitions, and the functions behind them."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, overload

from runner.errors import UsageError
from runner.processors.context import register_tool_check
from runner.services.tools.call import ToolCall
from runner.services.tools.signature import Signature, location_of, read_signature, warn_once

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
"""Time (s) after which a tool has failed."""

FILLER_AFTER_S = 0.7

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = "__botrun_tool__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How a tool is treated while it runs.

    Attributes:
        cancel_on_interruption: whether an interruption cancels it. If not, its result enters the context
            later, and the model is asked again as soon as nobody speaks.
        filler: what the bot says while the tool is slow; several are used in turn.
        filler_after_s: silence (s) before a filler.
        timeout_s: its deadline (s).
        name: its name for the model; None is the function's.
        description: its description for the model; None is the docstring.
    """

    cancel_on_interruption: bool = True
    filler: str | Sequence[str] = ()
    filler_after_s: float = FILLER_AFTER_S
    timeout_s: float = TIMEOUT_S
    name: str | None = None
    description: str | None = None

    @property
    def fillers(self) -> tuple[str, ...]:
        return (self.filler,) if isinstance(self.filler, str) else tuple(self.filler)


@overload
def tool(function: Function, /) -> Function: ...
@overload
def tool(
    *,
    cancel_on_interruption: bool = True,
    filler: str | Sequence[str] = (),
    filler_after_s: float = FILLER_AFTER_S,
    timeout_s: float = TIMEOUT_S,
    name: str | None = None,
    description: str | None = None,
) -> Callable[[Function], Function]: ...


def tool(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a tool, with the fields of `ToolOptions` as keywords. The function is not changed. A
    function without options needs no mark."""

    def mark(marked: Function) -> Function:
        setattr(marked, _OPTIONS, ToolOptions(**options))
        return marked

    return mark(function) if function is not None else mark


def options_of(function: Callable[..., Any] | None, changes: Mapping[str, Any]) -> ToolOptions:
    """The options of a marked function, with these changes."""
    return replace(getattr(function, _OPTIONS, None) or ToolOptions(), **changes)


@dataclass(frozen=True, slots=True)
class FunctionSchema:
    """Pipecat's schema of a tool, written by hand. `properties` is JSON schema by parameter; register the
    function itself with `llm.register_function(name, handler)`."""

    name: str
    description: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: Sequence[str] = ()

    def definition(self) -> dict[str, Any]:
        """The definition in the shape of OpenAI's chat API."""
        parameters = {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
        }
        return define(self.name, self.description, parameters)


@dataclass(frozen=True, slots=True)
class ToolsSchema:
    """Pipecat's list of tools: functions, `FunctionSchema`s, or definitions in OpenAI's shape."""

    standard_tools: Sequence[Any] = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.standard_tools)


def define(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One tool in OpenAI's shape (openai 3.54.0, types/chat/chat_completion_function_tool_param.py and
    types/shared_params/function_definition.py)."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: its definition in OpenAI's shape, and its function, if known."""

    name: str
    definition: Mapping[str, Any] | None
    options: ToolOptions
    function: Callable[..., Any] | None = None
    signature: Signature | None = None

    async def run(self, call: ToolCall) -> Any:
        """Check the arguments and call the function, in a thread if it is not async. Raises `ArgumentsError`
        and the function's own errors."""
        assert self.function is not None
        if self.signature is None:
            work = partial(self.function, call)
        else:
            arguments = self.signature.check(call.arguments)
            if self.signature.call_parameter:
                arguments[self.signature.call_parameter] = call
            work = partial(self.function, **arguments)
        if _is_async(self.function):
            result = await work()
        else:
            result = await asyncio.to_thread(work)
        return call.answers[0] if call.answers else result


def make_tool(function: Callable[..., Any], options: ToolOptions | None = None) -> Tool:
    """A tool from a typed Python function."""
    options = options or options_of(function, {})
    name = str(options.name or getattr(function, "__name__", ""))
    if not name.replace("-", "_").isidentifier() or len(name) > 64:
        where = location_of(function)
        raise UsageError(f"{where}a tool's name has letters, digits and _, not {name!r}: use @tool(name=…)")
    signature = read_signature(function, name)
    description = options.description or signature.description
    if not description:
        where = f"{location_of(function)}the tool {name}"
        warn_once(f"{where} has no docstring: describe there, for the model, what it does")
    return Tool(name, define(name, description, signature.parameters), options, function, signature)


def make_handler(name: str, handler: Callable[..., Any], options: ToolOptions) -> Tool:
    """A Pipecat tool: `handler(params)`, whose schema is in the context."""
    return Tool(name, None, options, handler)


class Toolbox:
    """The registered tools, and those of a context.

    Attributes:
        withheld: whether the model must now answer without tools.
    """

    def __init__(self) -> None:
        self.withheld = False
        self._registered: dict[str, Tool] = {}
        self._warned: set[str] = set()
        self._made: dict[Any, Tool] = {}

    def register(self, tool: Tool) -> None:
        """Offer a tool with every context; a later tool of the same name replaces it."""
        self._registered[tool.name] = tool

    def definitions(self, brought: Iterable[Any]) -> list[dict[str, Any]]:
        """The definitions for the model, in OpenAI's shape."""
        found = {tool.name: tool.definition for tool in self._registered.values() if tool.definition}
        for name, tool in self._named(brought).items():
            found.setdefault(name, tool.definition or {})
            if tool.function is None and name not in self._registered:
                self._warn(name, 'has no function: add llm.register_function("%s", handler)')
        for name in self._registered:
            if name not in found:
                self._warn(name, "has no schema: add a FunctionSchema of the name %s to the context's tools")
        return [dict(definition) for definition in found.values()]

    def _warn(self, name: str, what: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            logger.warning(f"the tool %s {what}", name, name)

    def _named(self, brought: Iterable[Any]) -> dict[str, Tool]:
        """A context's tools by name. Raises `UsageError` if two have the same name."""
        named: dict[str, Tool] = {}
        for tool in map(self._tool, brought):
            other = named.setdefault(tool.name, tool)
            if other.function is not tool.function:
                raise UsageError(f"two tools are named {tool.name}: rename one with @tool(name=…)")
        return named

    def find(self, name: str, brought: Iterable[Any]) -> Tool | None:
        """The callable tool of this name."""
        if (tool := self._registered.get(name)) is not None:
            return tool
        tools = (self._tool(item) for item in brought)
        return next((tool for tool in tools if tool.name == name and tool.function is not None), None)

    def _tool(self, item: Any) -> Tool:
        match item:
            case Tool():
                return item
            case FunctionSchema():
                return Tool(item.name, item.definition(), ToolOptions())
            case Mapping():
                name = (item.get("function") or {}).get("name")
                if not isinstance(name, str):
                    raise UsageError(f"a tool in OpenAI's shape has function.name: {json.dumps(item)[:80]}")
                return Tool(name, item, ToolOptions())
        if not callable(item):
            raise UsageError(f"{item!r:.80} is not a tool: give a Python function or a FunctionSchema")
        if item not in self._made:
            self._made[item] = make_tool(item)
        return self._made[item]


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


def check_tools(tools: Iterable[Any]) -> None:
    """Raises `UsageError` if a model could not call one of these tools."""
    Toolbox()._named(tools)


register_tool_check(check_tools)
