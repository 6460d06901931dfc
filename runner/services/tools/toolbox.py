"""The tools of one language model: what it is offered, and which function answers."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, overload

from runner.errors import UsageError
from runner.services.tools.call import ToolCall
from runner.services.tools.schemas import FunctionSchema, define
from runner.services.tools.signature import Signature, read_signature

TIMEOUT_S = 30.0
"""A tool that takes longer has failed. A caller does not wait for so long without a word."""

FILLER_AFTER_S = 0.7

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = "__botrun_tool__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How a tool is treated while it runs.

    Attributes:
        cancel_on_interruption: whether it ends when the user cuts in. If not, its result joins the context
            when it comes, and the model is asked again as soon as nobody speaks.
        filler: what the bot says, in turn, while the tool takes long.
        filler_after_s: after so much silence (s).
        timeout_s: its deadline (s).
        name: for the model; None is the function's own.
        description: for the model; None is the docstring.
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
    """Mark a function as a tool, with `ToolOptions` as keywords. It stays the function that it was; one
    without options needs no mark."""

    def mark(marked: Function) -> Function:
        setattr(marked, _OPTIONS, ToolOptions(**options))
        return marked

    return mark(function) if function is not None else mark


def options_of(function: Callable[..., Any] | None, changes: Mapping[str, Any]) -> ToolOptions:
    """The options that a function was marked with, with these changes."""
    return replace(getattr(function, _OPTIONS, None) or ToolOptions(), **changes)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: its definition in OpenAI's shape, and the function, if we have it."""

    name: str
    definition: Mapping[str, Any] | None
    options: ToolOptions
    function: Callable[..., Any] | None = None
    signature: Signature | None = None

    async def run(self, call: ToolCall) -> Any:
        """Check the arguments and call the function; a plain one in a thread. Raises whatever it raises, and
        `ArgumentsError`."""
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
        raise UsageError(f"a tool needs a name of letters, digits and _, not {name!r}: tool(name=…)")
    signature = read_signature(function, name)
    description = options.description or signature.description
    return Tool(name, define(name, description, signature.parameters), options, function, signature)


def make_handler(name: str, handler: Callable[..., Any], options: ToolOptions) -> Tool:
    """A tool in Pipecat's way: `handler(params)`, whose schema comes with the context."""
    return Tool(name, None, options, handler)


class Toolbox:
    """The tools that were registered, and those that a context brings.

    Attributes:
        withheld: the model must answer in words now.
    """

    def __init__(self) -> None:
        self.withheld = False
        self._registered: dict[str, Tool] = {}
        self._made: dict[Any, Tool] = {}

    def register(self, tool: Tool) -> None:
        """Offer a tool whatever the context brings; a later one of the same name replaces it."""
        self._registered[tool.name] = tool

    def definitions(self, brought: Iterable[Any]) -> list[dict[str, Any]]:
        """What the model is told of its tools."""
        found = {tool.name: tool.definition for tool in self._registered.values() if tool.definition}
        for name, tool in self._named(brought).items():
            found.setdefault(name, tool.definition or {})
        return [dict(definition) for definition in found.values()]

    def _named(self, brought: Iterable[Any]) -> dict[str, Tool]:
        """What a context brings, by name. Raises `UsageError` if two have the same."""
        named: dict[str, Tool] = {}
        for tool in map(self._tool, brought):
            other = named.setdefault(tool.name, tool)
            if other.function is not tool.function:
                raise UsageError(
                    f"two tools are called {tool.name}: give one another name with @tool(name=…)"
                )
        return named

    def find(self, name: str, brought: Iterable[Any]) -> Tool | None:
        """The tool of this name that can be called."""
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
            raise UsageError(f"{item!r} is no tool: give a Python function, or a FunctionSchema")
        if item not in self._made:
            self._made[item] = make_tool(item)
        return self._made[item]


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )
