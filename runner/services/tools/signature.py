"""A function's signature as JSON schema, and a model's arguments checked against it.

pydantic does both. It is loaded with the first tool, not before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, get_args, get_origin, get_type_hints

from runner.errors import UsageError
from runner.services.tools.call import ToolCall
from runner.services.tools.docstring import read_docstring

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SILENT = frozenset({"title"})
"""What pydantic adds to a schema, and a model need not read."""


class ArgumentsError(Exception):
    """The model's arguments do not fit: one sentence to the model."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function is called by a model.

    Attributes:
        description: the docstring without its sections.
        parameters: JSON schema of the arguments.
        call_parameter: the parameter that is given the `ToolCall`; empty if there is none.
    """

    description: str
    parameters: dict[str, Any]
    call_parameter: str
    _adapter: TypeAdapter[dict[str, Any]]

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function wants them. Raises `ArgumentsError`."""
        from pydantic import ValidationError

        try:
            return self._adapter.validate_python(dict(arguments))
        except ValidationError as error:
            told = "; ".join(_told(fault) for fault in error.errors(include_url=False))
            raise ArgumentsError(f"wrong arguments: {told}") from None


def read_signature(function: Callable[..., Any], name: str) -> Signature:
    """Raises `UsageError` if a parameter has no type, or one that has no JSON schema."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
    from typing_extensions import TypedDict

    hints = _hints(function, name)
    description, told = read_docstring(inspect.getdoc(function))
    call_parameter, fields = "", {}
    for parameter in inspect.signature(function).parameters.values():
        if hints.get(parameter.name) is ToolCall:
            call_parameter = parameter.name
        else:
            fields[parameter.name] = _field(parameter, hints, told.get(parameter.name, ""), name)
    make_shape: Any = TypedDict
    shape = make_shape(name, fields)
    shape.__pydantic_config__ = ConfigDict(extra="forbid")
    try:
        adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
        schema = _plain(adapter.json_schema())
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"the tool {name} has a parameter that JSON has no word for: {reason}") from None
    return Signature(description, schema, call_parameter, adapter)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"the tool {name} names a type that cannot be found: {error}. Define it at the top of the file"
        ) from None


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any], told: str, name: str) -> Any:
    """One parameter as a field of a TypedDict."""
    from pydantic import Field

    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise UsageError(f"the tool {name} takes *{parameter.name}: a model can only name its arguments")
    if parameter.name not in hints:
        raise UsageError(
            f"the tool {name} has a parameter without a type: {parameter.name}: str, for example"
        )
    kind = hints[parameter.name]
    if get_origin(kind) is Annotated:
        told = next((note for note in get_args(kind)[1:] if isinstance(note, str)), told)
    described = Annotated[kind, Field(description=told)] if told else kind
    if parameter.default is parameter.empty:
        return described
    default = {"default": _json(parameter.default)}
    return NotRequired[Annotated[described, Field(json_schema_extra=default)]]


def _json(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without titles, and with every `$ref` written out: small models' servers do not follow them."""
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


def _told(fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors in few words."""
    where = ".".join(str(part) for part in fault["loc"]) or "arguments"
    match fault["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"there is no parameter {where}"
    return f"{where}: {fault['msg']} (got {fault['input']!r:.60})"
