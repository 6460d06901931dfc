"""The terminal view of recorded calls: a list, and one call as a timeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from runner.records.answers import Answer
    from runner.records.call import RecordedCall
    from runner.records.listing import CallList
    from runner.records.record import Summary

SHORT_ID = 24
LONGEST = 160
SLOW_S, FAIR_S = 1.5, 0.8
_STYLES = {
    "caller": "bold green",
    "bot": "bold cyan",
    "tool": "magenta",
    "error": "bold red",
    "stall": "red",
    "warning": "yellow",
}
# Text of callers and models must not control the terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}

Line = tuple[float, str, str]
"""Time (s), speaker or kind, and the text, as markup."""


def print_list(found: CallList, folder: Path) -> None:
    """Print the list of calls, newest first."""
    console = Console(highlight=False, soft_wrap=True)
    if not found.calls:
        console.print(f"no recorded calls match in {escape(str(folder))}" if folder.exists() else _NONE_YET)
    for call in found.calls:
        console.print(_row(call))
    if found.next is not None:
        console.print(f"[dim]{found.total - len(found.calls)} more: use --limit or --since[/dim]")
    for each in found.unreadable:
        console.print(f"[yellow]{plain(each['problem'])}[/yellow]")


_NONE_YET = "no calls are recorded here yet: run a bot and call it, as with botrun call FILE"


def _row(call: Summary) -> str:
    mark = (
        "[red]✗[/red]" if call.failed else "[cyan]●[/cyan]" if call.state == "running" else "[green]✓[/green]"
    )
    seconds = f"{call.duration_s:7.1f} s" if call.duration_s is not None else "        –"
    worst = "" if call.turn_max_s is None else f"  answers ≤ {_coloured(call.turn_max_s)} (n={call.turns})"
    how = call.problem or ("running" if call.state == "running" else call.end_text)
    scenario = f"  {plain(call.scenario)}" if call.scenario else ""
    return (
        f"{mark} [bold]{call.id}[/bold]  {_local(call.started)}  {call.transport:<9}{seconds}  "
        f"{plain(call.bot)}{scenario}{worst}  [dim]{plain(how)}[/dim]"
    )


def print_call(record: RecordedCall) -> None:
    """Print one call as a timeline."""
    console = Console(highlight=False, soft_wrap=True)
    call, head = record.summary, record.head
    console.print(_row(call))
    numbers = " → ".join(each for each in (call.from_number, call.to_number) if each)
    code = (head.get("code") or [{}])[-1]
    commit = (
        f"commit {code['commit'][:10]}{' + changes' if code.get('dirty') else ''}"
        if code.get("commit")
        else ""
    )
    console.print(
        f"[dim]{'  '.join(plain(each) for each in (numbers, commit, str(record.path)) if each)}[/dim]"
    )
    console.print()
    for at, who, text in sorted(_lines(record), key=lambda line: line[0]):
        style = _STYLES.get(who, "dim")
        console.print(f"[dim]{at:8.2f}[/dim]  [{style}]{who:<8}[/{style}] {text}")
    if failure := head.get("failure"):
        console.print()
        console.print(
            f"[bold red]the bot failed[/bold red] at {plain(str(failure.get('file')))}:{failure.get('line')}"
        )
        for name in ("source", "message", "advice"):
            if failure.get(name):
                console.print(f"  {plain(str(failure[name]))}")
    for problem in record.problems:
        console.print(f"[yellow]{plain(problem)}[/yellow]")


def _lines(record: RecordedCall) -> Iterator[Line]:
    answers = {round(answer.to_s, 2): answer for answer in record.answers}
    for word in record.words:
        yield (
            word.from_s,
            word.speaker,
            plain(word.text) + ("[dim] – interrupted[/dim]" if word.interrupted else ""),
        )
    for answer in answers.values():
        yield answer.to_s - 0.001, "answer", _answer(answer)
    for event in record.events:
        yield from _event(event)


def _answer(answer: Answer) -> str:
    parts = " + ".join(
        f"{segment.name.replace('_', ' ')} {segment.seconds:.2f}"
        for segment in answer.segments
        if segment.seconds >= 0.005
    )
    notes = "".join(f"  [yellow]{plain(note)}[/yellow]" for note in answer.notes)
    return f"after {_coloured(answer.silence_s)} = {parts}{notes}"


def _event(event: dict[str, Any]) -> Iterator[Line]:
    at = float(event["t"])
    match event["kind"]:
        case "tool_call":
            arguments = json.dumps(event.get("arguments", {}), ensure_ascii=False)
            yield at, "tool", f"{plain(event.get('name', ''))}({plain(arguments)})"
        case "tool_result":
            result = json.dumps(event.get("result"), ensure_ascii=False, default=str)
            took = f" {event['seconds']:.2f} s" if event.get("seconds") is not None else ""
            colour = "red" if event.get("failed") else "dim"
            yield at, "tool", f"[{colour}]→ {plain(result)}[/{colour}]{took}"
        case "error":
            where = f" ({event['place']})" if event.get("place") else ""
            yield at, "error", f"{plain(event.get('message', ''))}{plain(where)}"
        case "retry" | "fallback":
            yield (
                at,
                "warning",
                plain(f"{event['kind']}: {event.get('service', '')} {event.get('message', '')}"),
            )
        case "stall":
            what = event.get("place") or str(event.get("cause", "")).replace("_", " ")
            yield at, "stall", f"event loop blocked for {event.get('seconds', 0):.2f} s: {plain(what)}"
        case "input_stalled":
            yield at, "stall", f"no audio from the caller for {event.get('seconds', 0):.2f} s"
        case "key":
            yield at, str(event.get("by")), f"key {plain(event.get('digit', ''))}"
        case "log" if event.get("level") in ("warning", "error", "critical"):
            yield at, "warning", plain(event.get("message", ""))
        case "ended":
            detail = f" ({plain(event['detail'])})" if event.get("detail") else ""
            yield at, "ended", f"{plain(event.get('text', ''))}{detail}"


def _coloured(seconds: float) -> str:
    colour = "green" if seconds <= FAIR_S else "yellow" if seconds <= SLOW_S else "red"
    return f"[{colour}]{seconds:.2f} s[/{colour}]"


def _local(started: str) -> str:
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%d %b %H:%M:%S")
    except ValueError:
        return "?"


def plain(text: Any) -> str:
    """Untrusted text, escaped for markup and truncated."""
    shown = " ".join(str(text).split(" ")).translate(_VISIBLE)
    return escape(shown if len(shown) <= LONGEST else shown[:LONGEST] + "…")
