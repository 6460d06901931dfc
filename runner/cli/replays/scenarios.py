"""`botrun pin CALL FILE`: makes a scenario from a record. `botrun watch SCENARIO`: repeats it on save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.callers.call import CallResult
    from runner.callers.scenario.steps import Scenario
    from runner.records.call import RecordedCall

_Call = Annotated[
    str, typer.Argument(metavar="CALL", help="A recorded call: an id, the beginning of one, or last.")
]
_File = Annotated[str, typer.Argument(metavar="FILE", help="The scenario to write: tests/calls/refund.yaml.")]
_PinBot = Annotated[
    str, typer.Option("--bot", metavar="BOT", help="The bot. [default: the one that took the call]")
]
_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario, by its name or file.")]
_Bot = Annotated[str | None, typer.Argument(metavar="[BOT]", help="The bot. [default: the scenario's]")]
_Provider = Annotated[
    str,
    typer.Option(
        "--transport", "-t", metavar="NAME", help="Provider to imitate. [default: the scenario's, twilio]"
    ),
]


def pin(call: _Call, file: _File, bot: _PinBot = "") -> int:
    """Make a scenario from a recorded call: the caller's own audio, and expectations taken from the call."""
    from runner.cli.replays.command import find_call
    from runner.replay.pin import pin as pin_call

    written = pin_call(find_call(call), Path(file), bot)
    sounds = len(written) - 1
    typer.echo(f"wrote {written[0]} and {sounds} sound file{'' if sounds == 1 else 's'} beside it")
    typer.echo(f"run it with: botrun call --scenario {written[0]}")
    return 0


def watch(scenario: _Scenario, bot: _Bot = None, provider: _Provider = "") -> int:
    """Repeat a scenario's call whenever the bot or the scenario is saved, and print what changed."""
    import asyncio

    from runner.callers.scenario import find_scenario

    plan = find_scenario(scenario)
    file = bot or (str(plan.bot) if plan.bot is not None else "")
    if not file:
        raise UsageError(f"{scenario} names no bot: give one, or write `bot: FILE` into the scenario")
    asyncio.run(_watch(plan, file, provider or plan.transport or "twilio"))
    return 0


async def _watch(plan: Scenario, bot: str, provider: str) -> None:
    from watchfiles import awatch

    from runner.botcode.loader import parse_target

    path = parse_target(bot).path
    folders = {path.parent, plan.path.parent if plan.path is not None else path.parent}
    before = await _call(plan, bot, provider, None)
    typer.echo("watching for changes (Ctrl-C to stop)")
    async for changes in awatch(*folders, watch_filter=_is_source):
        names = sorted({Path(name).name for _, name in changes})
        typer.echo(f"\nsaved: {', '.join(names)}")
        try:
            before = await _call(_again(plan), bot, provider, before)
        except Exception as error:  # the bot cannot start: wait for the next save
            typer.echo(f"botrun: {error}", err=True)


def _is_source(change: object, path: str) -> bool:
    return path.endswith((".py", ".yaml", ".yml")) and "/.botrun/" not in path


def _again(plan: Scenario) -> Scenario:
    """Load the scenario again."""
    from runner.callers.scenario import load_scenario

    return load_scenario(plan.path) if plan.path is not None else plan


async def _call(plan: Scenario, bot: str, provider: str, before: RecordedCall | None) -> RecordedCall | None:
    """Make one call; print how it differs from the one before, and return its record."""
    from runner.callers.call import CallRequest, make_call
    from runner.records.call import RecordedCall

    result = await make_call(CallRequest(provider=provider, file=bot, scenario=plan))
    _show(result)
    now = RecordedCall(result.record) if result.record is not None else None
    if before is not None and now is not None:
        _compare(before, now)
    return now or before


def _show(result: CallResult) -> None:
    failed = [outcome for outcome in result.outcomes if not outcome.met]
    met = len(result.outcomes) - len(failed)
    typer.echo(f"{'passed' if result.met else 'failed'}: {met} of {len(result.outcomes)} expectations met")
    for outcome in failed:
        typer.echo(f"  {outcome.place}: {outcome.sentence}")


def _compare(before: RecordedCall, now: RecordedCall) -> None:
    from runner.cli.replays.view import ReplayView
    from runner.replay.comparison.facts import facts_of
    from runner.replay.comparison.verdict import compare

    ReplayView().show(compare(facts_of(before), [facts_of(now)]), short=True)
