"""A Python function as a model sees it, and its arguments."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from typing_extensions import TypedDict

from runner.errors import UsageError
from runner.processors import LLMContext
from runner.services.tools import FunctionSchema, ToolCall, ToolsSchema, tool
from runner.services.tools.signature import ArgumentsError, read_docstring
from runner.services.tools.toolbox import Toolbox, ToolOptions, make_handler, make_tool


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
    done = run(order, guest="Ann", dishes=[{"name": "soup", "count": "2"}], size="large")
    assert done == "Ann [Dish(name='soup', count=2)] Size.LARGE here None True None"


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
def test_wrong_arguments_are_reported_in_words(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentsError, match=sentence):
        run(order, **arguments)


def test_a_call_is_given_to_a_function_that_asks_for_it_and_not_shown_to_the_model() -> None:
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


def strange(a: int, lock: asyncio.Lock) -> None: ...


def by_place(a: int, /, b: int = 1) -> None: ...


def spelled(a: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037


def counting(a: int) -> Iterator[int]:
    yield a


async def streaming(a: int) -> AsyncIterator[int]:
    yield a


HERE = r"test_tool_schemas\.py:\d+: the tool "


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (unnamed, HERE + r"unnamed takes \*args: a model can only give arguments by name"),
        (by_place, HERE + r"by_place takes a by position: a model can only give"),
        (untyped, HERE + r"untyped has a parameter without a type: write a: str, for example"),
        (strange, HERE + r"strange has a parameter that cannot be sent as JSON: lock\. Use str, int"),
        (spelled, HERE + r"spelled names a type that cannot be found: name 'Missing' is not defined"),
        (counting, HERE + "counting yields: a tool returns one value"),
        (streaming, HERE + "streaming yields: a tool returns one value"),
        (Diary, "the tool Diary is a class: give a function, or a method of an instance"),
        (Diary.hours, HERE + r"hours is a method without its object: give it as my_object\.hours"),
        (lambda: "", "a tool's name has letters, digits and _, not '<lambda>'"),
        (dict.get, "the tool get is a method without its object"),
        (5, "5 is not a tool: give a Python function or a FunctionSchema"),
    ],
)
def test_what_no_model_could_call_is_refused_when_the_context_gets_it(function: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        LLMContext(tools=[function])
    with pytest.raises(UsageError, match=sentence):
        LLMContext().set_tools([order, function])


def test_two_tools_of_one_name_are_refused_when_the_context_gets_them() -> None:
    with pytest.raises(UsageError, match=r"two tools are named order: rename one with @tool\(name=…\)"):
        LLMContext(tools=[order, tool(name="order")(lambda: "")])


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_a_model_would_not_understand_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def quiet(a: int) -> None: ...

    def stale(a: int) -> None:
        """Do it.

        Args:
            a: how often.
            b: not any more.
        """

    for function in (quiet, stale):
        make_tool(function)
    one, two = said(caplog)
    assert "the tool quiet has no docstring" in one
    assert "the tool stale documents b, which it does not take" in two


def test_a_schema_and_its_function_are_missed_once(caplog: pytest.LogCaptureFixture) -> None:
    toolbox = Toolbox()
    toolbox.register(make_handler("lost", print, ToolOptions()))
    for _ in range(2):
        toolbox.definitions([FunctionSchema("weather", "Tells it.")])
    assert said(caplog) == [
        'the tool weather has no function: add llm.register_function("weather", handler)',
        "the tool lost has no schema: add a FunctionSchema of the name lost to the context's tools",
    ]


def test_pipecats_schemas_are_known() -> None:
    schema = FunctionSchema("weather", "Tells it.", {"city": {"type": "string"}}, ["city"])
    raw = {"type": "function", "function": {"name": "other", "parameters": {}}}
    result = Toolbox().definitions(ToolsSchema(standard_tools=[schema, raw, order]))
    assert [definition["function"]["name"] for definition in result] == ["weather", "other", "order"]
    assert result[0]["function"]["parameters"]["required"] == ["city"]


def test_a_docstring_without_sections_is_all_description() -> None:
    assert read_docstring("Say hello.\n\nTwice.") == ("Say hello.\n\nTwice.", {})
    assert read_docstring(None) == ("", {})
    assert read_docstring("X.\n\nArgs:\n    a: one: two\n\n    b: three\nRaises:\n    c: no")[1] == {
        "a": "one: two",
        "b": "three",
    }


def test_importing_the_language_model_loads_neither_pydantic_nor_http() -> None:
    code = "import sys, runner.services.openai; print({'pydantic', 'httpx2', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
