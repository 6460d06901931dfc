"""`botrun replay CALL`: repeats a recorded call with today's code. `botrun compare`: compares records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.cli.replays.view import ReplayView
    from runner.records.call import RecordedCall
    from runner.replay.comparison.verdict import Comparison

_Call = Annotated[
    str | None,
    typer.Argument(metavar="[CALL]", help="A recorded call: an id, the beginning of one, or last."),
]
_Bot = Annotated[
    str | None, typer.Argument(metavar="[BOT]", help="The bot. [default: the one that took the call]")
]
_Mode = Annotated[
    str,
    typer.Option(
        metavar="turns|exact", help="The caller speaks when it is their turn again, or at the recorded times."
    ),
]
_Services = Annotated[
    str,
    typer.Option(
        metavar="live|recorded", help="The bot's own services, or services that answer as in the record."
    ),
]
_LiveTool = Annotated[
    list[str] | None,
    typer.Option("--live-tool", metavar="NAME", help="With recorded services: this tool runs its own code."),
]
_Runs = Annotated[int, typer.Option(metavar="N", help="Number of times to replay the call.", min=1, max=1000)]
_Failed = Annotated[bool, typer.Option("--failed", help="Replay all recorded calls that failed.")]
_Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Replay all calls since 30m, 2h, 3d or a date.")
]
_RealTime = Annotated[
    bool, typer.Option("--real-time", help="With recorded services: use a separate process, in real time.")
]
_Body = Annotated[str | None, typer.Option(metavar="FILE|JSON", help="runner_args.body of the bot.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the comparison as JSON, and nothing else.")]
_Html = Annotated[
    str | None, typer.Option("--html", metavar="FILE", help="Write the comparison as one HTML file.")
]
_Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the bot's whole log, not its warnings only.")
]
_Compared = Annotated[str, typer.Argument(metavar="CALL", help="A recorded call.")]
_Other = Annotated[list[str], typer.Argument(metavar="OTHER", help="The calls to compare with it.")]


def replay(
    call: _Call = None,
    bot: _Bot = None,
    mode: _Mode = "turns",
    services: _Services = "live",
    live_tool: _LiveTool = None,
    runs: _Runs = 1,
    failed: _Failed = False,
    since: _Since = "",
    real_time: _RealTime = False,
    body: _Body = None,
    as_json: _Json = False,
    html: _Html = None,
    verbose: _Verbose = False,
) -> int:
    """Repeat a recorded call with today's code, and compare the two.

    The exit status is 0 if it is the same or better, 1 if it is worse, 3 if the comparison is inconclusive.
    """
    from runner.cli.replays.view import ReplayView

    call, bot, several = _which(call, bot, several=failed or bool(since))
    options: dict[str, Any] = {
        "bot": bot,
        "mode": _one_of("--mode", mode, ("turns", "exact")),
        "services": _one_of("--services", services, ("live", "recorded")),
        "live_tools": tuple(live_tool or ()),
        "runs": runs,
        "real_time": real_time,
        "body": body,
        "verbose": verbose,
    }
    view = ReplayView(quiet=as_json)
    if several:
        return _replay_many(failed, since, options, view, html=html)
    comparison = _replay_one(call or "last", options, view)
    return report(comparison, view, as_json=as_json, html=html)


def compare(call: _Compared, other: _Other, as_json: _Json = False, html: _Html = None) -> int:
    """Compare recorded calls: words, tools, latencies, interruptions, sound, and how they ended."""
    from runner.cli.replays.view import ReplayView
    from runner.replay.clip import clip_of
    from runner.replay.comparison.facts import facts_of
    from runner.replay.comparison.verdict import compare as compare_facts
    from runner.replay.run import speech_s

    records = [find_call(name) for name in (call, *other)]
    first, *others = [facts_of(record, speech_s(clip_of(record))) for record in records]
    return report(compare_facts(first, others), ReplayView(quiet=as_json), as_json=as_json, html=html)


def report(comparison: Comparison, view: ReplayView, *, as_json: bool, html: str | None) -> int:
    """Print a comparison, write its page, and return the exit status."""
    if as_json:
        sys.stdout.write(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        view.show(comparison)
    if html:
        write_page(Path(html), [comparison])
        view.say(f"wrote {html}")
    return comparison.status


def write_page(path: Path, comparisons: list[Comparison]) -> None:
    """Write the page of these comparisons.

    Raises:
        UsageError: the file cannot be written.
    """
    from runner.cli.replays.page import page_of

    try:
        path.write_text(page_of(comparisons), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _which(call: str | None, bot: str | None, *, several: bool) -> tuple[str | None, str | None, bool]:
    """The call, the bot, and whether there are several calls. With several, the only argument is the bot."""
    if several and bot is not None:
        raise UsageError("--failed and --since choose the calls: give the bot's file, and no call")
    if several:
        return None, call, True
    if call is not None and bot is None and call.partition(":")[0].endswith(".py"):
        return "last", call, False
    return call, bot, False


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UsageError(f"{flag}: expected {' or '.join(known)}, got {value!r}")
    return value


def _replay_one(name: str, options: dict[str, Any], view: ReplayView) -> Comparison:
    from runner.records.folder import calls_folder
    from runner.replay.run import ReplayRequest, replay

    request = ReplayRequest(record=find_call(name), folder=calls_folder(), **options)
    view.begins(request)
    return replay(request, view.say)


def find_call(name: str) -> RecordedCall:
    """The record with this name; "last" is the newest call that is not a replay.

    Raises:
        RecordError: it does not exist.
    """
    from runner.records.call import RecordedCall
    from runner.records.folder import calls_folder, find
    from runner.records.listing import list_calls

    if name == "last":
        calls = list_calls(calls_folder(), limit=1000).calls
        name = next((each.id for each in calls if each.origin != "replay"), name)
    return RecordedCall(find(calls_folder(), name))


def _replay_many(
    failed: bool, since: str, options: dict[str, Any], view: ReplayView, *, html: str | None
) -> int:
    """Replay all matching calls, oldest first, and print a summary."""
    from runner.records.folder import calls_folder
    from runner.records.listing import Filter, list_calls, parse_since
    from runner.replay.comparison.verdict import INCONCLUSIVE, WORSE

    wanted = Filter(failed=failed or None, since=parse_since(since) if since else None)
    calls = [each for each in list_calls(calls_folder(), wanted, limit=1000).calls if each.origin != "replay"]
    if not calls:
        view.say("no recorded calls match: botrun calls lists them")
        return 0
    found, refused = [], 0
    for number, each in enumerate(reversed(calls), 1):
        view.progress(number, len(calls), each.id)
        try:
            found.append(_replay_one(each.id, options, view))
        except UsageError as error:
            refused += 1
            view.say(str(error))
            continue
        view.show(found[-1], short=True)
    view.sum_up(found, refused)
    if html:
        write_page(Path(html), found)
        view.say(f"wrote {html}")
    statuses = {comparison.status for comparison in found}
    return WORSE if WORSE in statuses else INCONCLUSIVE if INCONCLUSIVE in statuses or refused else 0
