"""`botrun models`: list and fetch models that run on this machine. Nothing else downloads models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runner.services.models import Model, Progress

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_Kind = Annotated[str, typer.Argument(metavar="KIND", help="whisper (recognition) or piper (voices).")]
_Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The model: base.en, en_US-lessac-medium, … (see botrun models)."),
]
_Hub = Annotated[
    str | None, typer.Option("--from", metavar="URL", help="A mirror of huggingface.co to download from.")
]


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List or fetch speech recognition models and voices that run on this machine."""
    if context.invoked_subcommand is None:
        show()


@app.command("list")
def show() -> None:
    """List installed models, their folder, and what can be fetched."""
    from runner.services.models import PIPER_EXAMPLES, WHISPER_MODELS, models_folder, models_here

    _enter_dotenv()
    here = models_here()
    typer.echo(f"Installed in {models_folder()}:")
    for model in here:
        typer.echo(f"  {model.kind:8} {model.name:24} {model.size_mb:6.0f} MB")
    if not here:
        typer.echo("  none")
    typer.echo("\nbotrun models fetch whisper NAME (speech recognition; approximate sizes):")
    for name, (_, size_mb) in WHISPER_MODELS.items():
        typer.echo(f"  {name:24} {size_mb:6} MB")
    typer.echo("\nbotrun models fetch piper NAME (voices, about 20 to 120 MB each), for example:")
    typer.echo(f"  {', '.join(PIPER_EXAMPLES)}")


@app.command("fetch")
def fetch(kind: _Kind, name: _Name, hub: _Hub = None) -> None:
    """Download a model. An interrupted download resumes."""
    from runner.services.models import HUB, Model

    _enter_dotenv()
    model = Model(kind, name)
    _fetch(model, hub or HUB)
    typer.echo(f"{kind} {name} is installed: {model.size_mb:.0f} MB in {model.path}")


def _fetch(model: Model, hub: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    from runner.services.models import fetch as bring

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    bars = Bars(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
    with bars:
        bring(model, hub, _shown_by(bars))


def _shown_by(bars: object) -> Progress:
    """One progress bar per file, created when its download begins."""
    rows: dict[str, int] = {}

    def show(name: str, here: int, size: int) -> None:
        if name not in rows:
            rows[name] = bars.add_task(name, total=size)  # type: ignore[attr-defined]
        bars.update(rows[name], completed=here)  # type: ignore[attr-defined]

    return show


def _enter_dotenv() -> None:
    from runner.settings import enter_dotenv, find_dotenv, read_dotenv

    enter_dotenv(read_dotenv(find_dotenv(Path("bot.py"))))
