"""`botrun judge CALL`: has a language model check rules against a recorded call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.evaluation.judge import Judgement
    from runner.evaluation.model import ModelChoice

_Call = Annotated[
    str, typer.Argument(metavar="CALL", help="A recorded call: an id, the beginning of one, or last.")
]
_Rule = Annotated[
    list[str] | None, typer.Option("--rule", metavar="TEXT", help="A rule that must hold. Repeatable.")
]
_Scenario = Annotated[
    str, typer.Option("--scenario", metavar="FILE", help="Take rules and model from this scenario.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


def judge(call: _Call, rule: _Rule = None, scenario: _Scenario = "", as_json: _Json = False) -> int:
    """Judge a recorded conversation by rules. The exit status is 1 unless all rules hold."""
    import asyncio

    from runner.callers.scenario import find_scenario
    from runner.cli.replays.command import find_call
    from runner.evaluation.model import ModelChoice

    plan = find_scenario(scenario) if scenario else None
    rules = [*(plan.evaluation.rules if plan else ()), *(rule or ())]
    if not rules:
        raise UsageError("nothing to judge: give --rule TEXT, or --scenario FILE with judge: rules")
    choice = ModelChoice(
        base_url=plan.evaluation.base_url if plan else "", name=plan.evaluation.model if plan else ""
    ).resolved()
    typer.echo(f"asking {choice.name} at {choice.host}", err=as_json)
    conversation = [(word.speaker, word.text) for word in find_call(call).words]
    found = asyncio.run(_ask(choice, rules, conversation))
    if as_json:
        rows = [{"rule": e.rule, "answer": e.answer, "quote": e.quote, "why": e.why} for e in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for each in found:
            typer.echo(f"{'✓' if each.met else '✗'} {each.sentence}")
    return 0 if all(each.met for each in found) else 1


async def _ask(
    choice: ModelChoice, rules: Sequence[str], conversation: Sequence[tuple[str, str]]
) -> list[Judgement]:
    from runner.evaluation.judge import judge as ask_judge
    from runner.evaluation.model import Model

    model = Model(choice)
    try:
        return await ask_judge(model, rules, conversation)
    finally:
        await model.aclose()
