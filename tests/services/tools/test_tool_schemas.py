"""What a model is told of a Python function, and what becomes of its arguments."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from typing_extensions import TypedDict

from runner.errors import UsageError
from runner.services.tools import FunctionSchema, ToolCall, ToolsSchema, tool
from runner.services.tools.docstring import read_docstring
from runner.services.tools.signature import ArgumentsError
from runner.services.tools.toolbox import Toolbox, make_tool


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Dish:
    name: str
    count: int = 1


class Address(TypedDict):
    street: str


def order(
    guest: str,
    dishes: list[Dish],
    size: Size = Size.SMALL,
    where: Literal["here", "away"] = "here",
    tip: float | None = None,
    hot: Annotated[bool, "whether it is to be hot"] = True,
    address: Address | None = None,
) -> str:
    """Order a meal.

    It takes a while.

    Args:
        guest: who eats, as they
            call themselves.
        dishes (list): what.

    Returns:
        a number.
    """
    return f"{guest} {dishes} {size} {where} {tip} {hot} {address}"


def test_a_typed_function_becomes_json_schema() -> None:
    definition = make_tool(order).definition
    assert definition is not None
    function = definition["function"]
    assert (definition["type"], function["name"]) == ("function", "order")
    assert function["description"] == "Order a meal.\n\nIt takes a while."
    parameters = function["parameters"]
    assert parameters["required"] == ["guest", "dishes"]
    assert parameters["additionalProperties"] is False
    properties = parameters["properties"]
    assert properties["guest"] == {"type": "string", "description": "who eats, as they call themselves."}
    dish = properties["dishes"]["items"]
    assert dish["properties"] == {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}}
    assert properties["dishes"]["description"] == "what."
    assert properties["size"] == {"type": "string", "enum": ["small", "large"], "default": "small"}
    assert properties["where"] == {"type": "string", "enum": ["here", "away"], "default": "here"}
    assert properties["tip"] == {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}
    assert properties["hot"] == {
        "type": "boolean",
        "description": "whether it is to be hot",
        "default": True,
    }
    assert "$ref" not in str(parameters)


def call_of(arguments: dict[str, Any]) -> ToolCall:
    nothing: Any = None
    return ToolCall(
        function_name="f",
        tool_call_id="1",
        arguments=arguments,
        context=nothing,
        llm=nothing,
        reply_id=1,
        push=nothing,
    )


def run(function: Callable[..., Any], **arguments: Any) -> Any:
    return asyncio.run(make_tool(function).run(call_of(arguments)))


def test_arguments_reach_the_function_in_its_own_types() -> None:
    told = run(order, guest="Ann", dishes=[{"name": "soup", "count": "2"}], size="large")
    assert told == "Ann [Dish(name='soup', count=2)] Size.LARGE here None True None"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"dishes": []}, "guest is missing"),
        ({"guest": "a", "dishes": "x"}, "dishes: Input should be a valid list"),
        ({"guest": "a", "dishes": [], "colour": 1}, "there is no parameter colour"),
        ({"guest": "a", "dishes": [{"count": 1}]}, r"dishes\.0\.name is missing"),
        ({"guest": "a", "dishes": [], "where": "there"}, "where: Input should be 'here' or 'away'"),
    ],
)
def test_wrong_arguments_are_told_in_words(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentsError, match=sentence):
        run(order, **arguments)


def test_a_call_is_given_to_whoever_asks_for_it_and_not_shown_to_the_model() -> None:
    async def whoami(call: ToolCall, loud: bool) -> str:
        return f"{call.tool_call_id} {loud}"

    whoami.__annotations__ = {"call": ToolCall, "loud": bool, "return": str}
    definition = make_tool(whoami).definition
    assert definition is not None
    assert list(definition["function"]["parameters"]["properties"]) == ["loud"]
    assert run(whoami, loud=True) == "1 True"


def test_a_mark_leaves_the_function_as_it_is_and_keeps_options() -> None:
    @tool(name="add_up", filler="Hm.", timeout_s=3)
    def add(a: int, b: int = 2) -> int:
        return a + b

    assert add(1) == 3
    made = make_tool(add)
    assert (made.name, made.options.fillers, made.options.timeout_s) == ("add_up", ("Hm.",), 3)


class Diary:
    def hours(self) -> str:
        """Tell the opening hours."""
        return "nine to five"


def test_a_method_is_a_tool_and_is_made_once() -> None:
    toolbox, diary = Toolbox(), Diary()
    assert toolbox.find("hours", [diary.hours]) is toolbox.find("hours", [diary.hours])
    assert run(diary.hours) == "nine to five"


def unnamed(*args: int) -> None: ...


def untyped(a) -> None: ...  # type: ignore[no-untyped-def]


def strange(a: asyncio.Lock) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (unnamed, r"takes \*args"),
        (untyped, "without a type: a"),
        (strange, "JSON has no word"),
        (5, "no tool"),
    ],
)
def test_what_no_model_could_call_is_refused_in_words(function: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Toolbox().definitions([function])


def test_pipecats_schemas_are_known() -> None:
    schema = FunctionSchema("weather", "Tells it.", {"city": {"type": "string"}}, ["city"])
    raw = {"type": "function", "function": {"name": "other", "parameters": {}}}
    told = Toolbox().definitions(ToolsSchema(standard_tools=[schema, raw, order]))
    assert [definition["function"]["name"] for definition in told] == ["weather", "other", "order"]
    assert told[0]["function"]["parameters"]["required"] == ["city"]


def test_a_docstring_without_sections_is_all_description() -> None:
    assert read_docstring("Say hello.\n\nTwice.") == ("Say hello.\n\nTwice.", {})
    assert read_docstring(None) == ("", {})
    assert read_docstring("X.\n\nArgs:\n    a: one: two\n\n    b: three\nRaises:\n    c: no")[1] == {
        "a": "one: two",
        "b": "three",
    }


def test_importing_the_language_model_loads_neither_pydantic_nor_http() -> None:
    code = "import sys, runner.services.openai; print({'pydantic', 'httpx2', 'fastapi'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
