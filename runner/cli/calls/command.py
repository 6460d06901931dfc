"""`botrun calls`: the recorded calls. `botrun show CALL`: one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.records.call import RecordedCall

_Failed = Annotated[bool, typer.Option("--failed", help="Only calls that failed.")]
_Slow = Annotated[bool, typer.Option("--slow", help="Only calls in which an answer took more than 1.5 s.")]
_Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Only calls since then: 30m, 2h, 3d or a date.")
]
_Search = Annotated[
    str,
    typer.Option(
        "--search",
        metavar="TEXT",
        help="Only calls whose id, number, bot, scenario or failure contains this.",
    ),
]
_Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", help="Show at most N calls.", min=1)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
_Call = Annotated[str, typer.Argument(metavar="CALL", help="A call id, its first characters, or 'last'.")]
_ShowJson = Annotated[bool, typer.Option("--json", help="Print the whole call as JSON.")]
_Wav = Annotated[
    str | None, typer.Option("--wav", metavar="FILE", help="Write the sound as WAV: caller left, bot right.")
]
_Srt = Annotated[str | None, typer.Option("--srt", metavar="FILE", help="Write subtitles.")]
_Labels = Annotated[str | None, typer.Option("--labels", metavar="FILE", help="Write labels for Audacity.")]
_Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="Write the inspector's page of this call, with its sound."),
]


def calls(
    failed: _Failed = False,
    slow: _Slow = False,
    since: _Since = "",
    search: _Search = "",
    limit: _Limit = 50,
    as_json: _Json = False,
) -> int:
    """List the recorded calls of this folder, newest first."""
    from runner.cli.calls.view import print_list
    from runner.records.folder import calls_folder
    from runner.records.listing import Filter, list_calls, parse_since

    wanted = Filter(
        failed=failed or None, slow=slow or None, since=parse_since(since) if since else None, text=search
    )
    found = list_calls(calls_folder(), wanted, limit=limit)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        print_list(found, calls_folder())
    return 0


def show(
    call: _Call = "last",
    as_json: _ShowJson = False,
    wav: _Wav = None,
    srt: _Srt = None,
    labels: _Labels = None,
    html: _Html = None,
) -> int:
    """Show a recorded call as a timeline, or write it, its sound, subtitles or labels to a file."""
    from runner.records.call import RecordedCall
    from runner.records.folder import calls_folder, find

    record = RecordedCall(find(calls_folder(), call))
    if as_json:
        everything = {**record.detail(), "timeline": record.events}
        typer.echo(json.dumps(everything, indent=2, ensure_ascii=False, default=str))
    elif wav or srt or labels or html:
        _write(record, wav, srt, labels, html)
    else:
        from runner.cli.calls.view import print_call

        print_call(record)
    return 0


def _write(
    record: RecordedCall, wav: str | None, srt: str | None, labels: str | None, html: str | None
) -> None:
    from runner.records.render import wav_of
    from runner.records.timeline import labels_of, srt_of

    made: tuple[tuple[str | None, Callable[[], bytes]], ...] = (
        (wav, lambda: wav_of(record.sound)),
        (srt, lambda: srt_of(record.words).encode()),
        (labels, lambda: labels_of(record.spans).encode()),
        (html, lambda: _page(record)),
    )
    for path, make in made:
        if path:
            data = make()
            try:
                Path(path).write_bytes(data)
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from None
            typer.echo(f"wrote {path}")


def _page(record: RecordedCall) -> bytes:
    from runner.cli.calls.saved_page import page_of  # imports the server's files, 0.1 s

    return page_of(record).encode()
