"""A function's signature and docstring as JSON schema, and a model's arguments checked against it.

pydantic does both; it is loaded with the first tool.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, get_args, get_origin, get_type_hints

from runner.errors import UsageError
from runner.services.tools.call import ToolCall

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

_SILENT = frozenset({"title"})
"""Keys that pydantic adds to a schema and that a model does not need."""

_SECTION = re.compile(r"(?:Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*$")
_PARAMETERS = ("Args:", "Arguments:", "Parameters:")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")


class ArgumentsError(Exception):
    """The model's arguments do not match the tool; its text is for the model."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How a model calls a function.

    Attributes:
        description: the docstring without its sections.
        parameters: JSON schema of the arguments.
        call_parameter: the parameter that takes the `ToolCall`; empty if there is none.
    """

    description: str
    parameters: dict[str, Any]
    call_parameter: str
    _adapter: TypeAdapter[dict[str, Any]]

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, converted for the function. Raises `ArgumentsError`."""
        from pydantic import ValidationError

        try:
            return self._adapter.validate_python(dict(arguments))
        except ValidationError as error:
            faults = "; ".join(_sentence(fault) for fault in error.errors(include_url=False))
            raise ArgumentsError(f"wrong arguments: {faults}") from None


def read_signature(function: Callable[..., Any], name: str) -> Signature:
    """How a model can call this function. Raises `UsageError`, with file and line, if it cannot: a parameter
    without a type or whose type has no JSON schema, a generator, a method that is not bound."""
    where = f"{location_of(function)}the tool {name}"
    parameters = _parameters_of(function, where)
    hints = _hints(function, where)
    description, described = read_docstring(inspect.getdoc(function))
    call_parameter, fields = "", {}
    for parameter in parameters:
        if hints.get(parameter.name) is ToolCall:
            call_parameter = parameter.name
        else:
            fields[parameter.name] = _field(parameter, hints, described.get(parameter.name, ""), where)
    if unknown := [field for field in described if field not in fields and field != call_parameter]:
        warn_once(f"{where} documents {', '.join(unknown)}, which it does not take")
    adapter, schema = _schema_of(name, fields, where)
    return Signature(description, schema, call_parameter, adapter)


@cache
def warn_once(sentence: str) -> None:
    """Log a warning once per process: each call creates the bot's tools again."""
    logger.warning("%s", sentence)


def location_of(function: Callable[..., Any]) -> str:
    """Where a function is defined, such as "bot.py:12: "; empty if unknown."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}: " if code is not None else ""


def _parameters_of(function: Callable[..., Any], where: str) -> list[inspect.Parameter]:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{where} yields: a tool returns one value")
    if inspect.isclass(function):
        raise UsageError(f"{where} is a class: give a function, or a method of an instance")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise UsageError(f"{where} has no signature to read: wrap it in a typed Python function") from None
    first = parameters[0] if parameters else None
    if first is not None and first.name in ("self", "cls") and first.annotation is first.empty:
        raise UsageError(f"{where} is a method without its object: give it as my_object.{function.__name__}")
    return parameters


def _schema_of(
    name: str, fields: Mapping[str, Any], where: str
) -> tuple[TypeAdapter[dict[str, Any]], dict[str, Any]]:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
    from typing_extensions import TypedDict

    make_shape: Any = TypedDict
    shape = make_shape(name, dict(fields))
    shape.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
        return adapter, _plain(adapter.json_schema())
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        if len(fields) > 1:
            for field, kind in fields.items():  # find out which one it is
                _schema_of(name, {field: kind}, where)
        types = "str, int, float, bool, list, dict, Literal, an Enum or a dataclass"
        raise UsageError(
            f"{where} has a parameter that cannot be sent as JSON: {', '.join(fields)}. Use {types} "
            f"({str(error).splitlines()[0]})"
        ) from None


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"{where} names a type that cannot be found: {error}. Define it at the top of the file"
        ) from None
    except TypeError as error:
        raise UsageError(f"{where} has a type that cannot be read: {error}") from None


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any], description: str, where: str) -> Any:
    """One parameter as a field of a TypedDict."""
    from pydantic import Field

    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise UsageError(f"{where} takes {_as_written(parameter)}: a model can only give arguments by name")
    if parameter.name not in hints:
        raise UsageError(f"{where} has a parameter without a type: write {parameter.name}: str, for example")
    kind = hints[parameter.name]
    if get_origin(kind) is Annotated:
        description = next((note for note in get_args(kind)[1:] if isinstance(note, str)), description)
    described = Annotated[kind, Field(description=description)] if description else kind
    if parameter.default is parameter.empty:
        return described
    default = {"default": _json(parameter.default)}
    return NotRequired[Annotated[described, Field(json_schema_extra=default)]]


def _as_written(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"{parameter.name} by position"
    return f"{'*' if parameter.kind is parameter.VAR_POSITIONAL else '**'}{parameter.name}"


def _json(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without titles, and with every `$ref` expanded: some servers do not resolve them."""
    definitions = schema.get("$defs", {})

    def write_out(node: Any, depth: int = 0) -> Any:
        if isinstance(node, list):
            return [write_out(item, depth) for item in node]
        if not isinstance(node, Mapping):
            return node
        if "$ref" in node and depth < 8:
            target = definitions.get(str(node["$ref"]).rpartition("/")[2], {})
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
            depth += 1
        return {
            key: {name: write_out(kind, depth) for name, kind in value.items()}
            if key == "properties"
            else write_out(value, depth)
            for key, value in node.items()
            if key not in _SILENT and key != "$defs"
        }

    plain: dict[str, Any] = write_out(schema)
    plain.setdefault("properties", {})
    return plain


def _sentence(fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors in short."""
    where = ".".join(str(part) for part in fault["loc"]) or "arguments"
    match fault["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"there is no parameter {where}"
    return f"{where}: {fault['msg']} (got {fault['input']!r:.60})"


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """A docstring's description, and what its Args section says about each parameter."""
    lines = inspect.cleandoc(text or "").splitlines()
    first = next((i for i, line in enumerate(lines) if _SECTION.match(line)), len(lines))
    description = "\n".join(lines[:first]).strip()
    return description, _parameters(lines)


def _parameters(lines: list[str]) -> dict[str, str]:
    begin = next((i for i, line in enumerate(lines) if line.strip() in _PARAMETERS), None)
    if begin is None:
        return {}
    found: dict[str, str] = {}
    indent: int | None = None
    name = ""
    for line in lines[begin + 1 :]:
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if depth == 0:
            break
        if indent is None:
            indent = depth
        if depth <= indent and (entry := _ENTRY.match(line.strip())):
            name, found[entry[1]] = entry[1], entry[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
