"""`botrun baseline update|check`: saves the figures of a scenario's calls, and compares later calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.replay.baseline import Baseline

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario, by its name or file.")]
_Bot = Annotated[str | None, typer.Argument(metavar="[BOT]", help="The bot. [default: the scenario's]")]
_Provider = Annotated[
    str,
    typer.Option(
        "--transport", "-t", metavar="NAME", help="Provider to imitate. [default: the scenario's, twilio]"
    ),
]
_Runs = Annotated[int, typer.Option(metavar="N", help="Number of calls.", min=1, max=1000)]
_Dir = Annotated[str, typer.Option("--dir", metavar="DIR", help="The folder of the baselines.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]


@app.command("update")
def update(
    scenario: _Scenario,
    bot: _Bot = None,
    provider: _Provider = "",
    runs: _Runs = 5,
    folder: _Dir = "baselines",
) -> int:
    """Make the calls, and save their figures."""
    from runner.replay.baseline import LEAST_RUNS, save

    if runs < LEAST_RUNS:
        raise UsageError(f"--runs: {runs} is too few for a baseline: {LEAST_RUNS} at least")
    made = _measure(scenario, bot, provider, runs, quiet=False)
    path = _path(folder, made)
    save(made, path)
    typer.echo(f"wrote {path}")
    return 0


@app.command("check")
def check(
    scenario: _Scenario,
    bot: _Bot = None,
    provider: _Provider = "",
    runs: _Runs = 5,
    folder: _Dir = "baselines",
    as_json: _Json = False,
) -> int:
    """Repeat the calls, and compare. The exit status is 1 if a figure is worse, 3 if not comparable."""
    from runner.replay.baseline import load, regressions, unlike

    now = _measure(scenario, bot, provider, runs, quiet=as_json)
    before = load(_path(folder, now))
    doubts = list(unlike(before, now))
    found = [] if doubts else regressions(before, now)
    if as_json:
        rows = [{"figure": e.figure, "before": e.before, "after": e.after, "worse": e.worse} for e in found]
        typer.echo(json.dumps({"doubts": doubts, "differences": rows, "figures": now.figures}, indent=2))
    else:
        for sentence in doubts:
            typer.echo(f"inconclusive: {sentence}")
        for each in found:
            typer.echo(f"{'worse' if each.worse else 'better'}: {each.sentence}")
        if not doubts and not found:
            typer.echo(f"no difference (n={now.runs})")
    return 3 if doubts else int(any(each.worse for each in found))


def _path(folder: str, baseline: Baseline) -> Path:
    return Path(folder) / f"{baseline.conditions.scenario}-{baseline.conditions.transport}.json"


def _measure(name: str, bot: str | None, provider: str, runs: int, *, quiet: bool) -> Baseline:
    """Make the calls one by one."""
    import asyncio

    from runner.callers.call import CallRequest, make_call
    from runner.callers.scenario import find_scenario
    from runner.replay.baseline import conditions_of, measure_calls

    plan = find_scenario(name)
    file = bot or (str(plan.bot) if plan.bot is not None else None)
    if file is None:
        raise UsageError(f"{name} names no bot: give one, or write `bot: FILE` into the scenario")
    transport = provider or plan.transport or "twilio"
    results = []
    for number in range(1, runs + 1):
        results.append(asyncio.run(make_call(CallRequest(provider=transport, file=file, scenario=plan))))
        if not quiet:
            met = "passed" if results[-1].met else "failed"
            typer.echo(f"call {number} of {runs}: {met}, {results[-1].report.duration_s:.1f} s")
    return measure_calls(conditions_of(plan, transport), results)
