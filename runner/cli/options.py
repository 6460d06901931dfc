"""A command is a function: its annotations tell what it takes, click reads what was typed.

    def dial(
        to: Annotated[str, Argument("NUMBER", "Whom to call.")],
        ring_s: Annotated[int, Option("--ring", metavar="S", help="How long it rings.")] = 30,
    ) -> int: ...

Typer does the same, but builds a pydantic adapter for each option: a fifth of a phone run's start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click

from runner.errors import UsageError


@dataclass(frozen=True, slots=True)
class Argument:
    """A word that is told by its place. With a default it may be left out."""

    metavar: str
    help: str

    def parameter(self, name: str, kind: Any, default: Any) -> click.Parameter:
        may_be_left_out = {} if default is Parameter.empty else {"required": False, "default": default}
        return HelpedArgument(
            [name], type=_plain(kind), metavar=self.metavar, help=self.help, **may_be_left_out
        )


class Option:
    """A word that begins with dashes: "--name", or "--yes/--no". A list may be given several times.

    Without `show_default` the help says what happens if it is left out.
    """

    def __init__(
        self,
        *flags: str,
        metavar: str | None = None,
        help: str = "",
        show_default: bool = True,
        on_seen: Callable[[], None] | None = None,
    ) -> None:
        self._flags = flags
        self._facts: dict[str, Any] = {"metavar": metavar, "help": help, "show_default": show_default}
        if on_seen is not None:  # before all others are read
            self._facts |= {"is_eager": True, "expose_value": False, "callback": _when_seen(on_seen)}

    def parameter(self, name: str, kind: Any, default: Any) -> click.Parameter:
        plain, several = _plain(kind), _is_list(kind)
        flags = self._flags or ("--" + name.replace("_", "-"),)
        if several:
            self._facts["callback"] = _listed
        return click.Option(
            [name, *flags],
            type=_number(plain, flags[-1]) if plain in (int, float) else plain,
            multiple=several,
            is_flag=plain is bool,
            default=default,
            **self._facts,
        )


def _number(kind: type[int] | type[float], flag: str) -> Callable[[Any], float]:
    """A number, or a sentence in our words."""

    def convert(value: Any) -> float:
        try:
            return kind(value)
        except ValueError:
            whole = "whole " if kind is int else ""
            raise UsageError(f"{flag}: it is a {whole}number, not {value!r}") from None

    return convert


class HelpedArgument(click.Argument):
    """click's own arguments have no help."""

    def __init__(self, words: list[str], *, help: str, **facts: Any) -> None:
        super().__init__(words, **facts)
        self.told = help


class Command(click.Command):
    """Its help tells of the arguments, too."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (parameter.human_readable_name, parameter.told)
            for parameter in self.params
            if isinstance(parameter, HelpedArgument)
        ]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)


class Group(click.Group):
    """Commands, in the order in which they are told."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def command(function: Callable[..., Any], name: str, short_help: str | None = None) -> Command:
    """The command that a function is; its docstring is the help."""
    hints, parameters = get_type_hints(function, include_extras=True), []
    for parameter in signature(function).parameters.values():
        annotation = hints[parameter.name]
        assert get_origin(annotation) is Annotated, f"{name}: {parameter.name} has no Option or Argument"
        kind, told = get_args(annotation)
        parameters.append(told.parameter(parameter.name, kind, parameter.default))
    return Command(name, callback=function, params=parameters, help=function.__doc__, short_help=short_help)


def _plain(kind: Any) -> Any:
    """The type of one word: `int` of `int | None`, `str` of `list[str] | None`."""
    if _is_list(kind):
        kind = next(one for one in (kind, *get_args(kind)) if get_origin(one) is list)
    return next((one for one in get_args(kind) if one is not NoneType), kind)


def _is_list(kind: Any) -> bool:
    return any(get_origin(one) is list for one in (kind, *get_args(kind)))


def _listed(ctx: click.Context, parameter: click.Parameter, value: tuple[Any, ...]) -> list[Any] | None:
    """None, where there was none."""
    return list(value) or None


def _when_seen(do: Callable[[], None]) -> Callable[[click.Context, click.Parameter, bool], None]:
    def seen(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            do()
            ctx.exit()

    return seen
