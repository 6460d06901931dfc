"""`botrun new my_bot.py`: writes a working bot as a starting point. The bots are beside this file."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from runner.errors import BotrunError, UsageError

KINDS = {
    "talk": "talks",
    "phone": "answers a phone, keys included",
    "tools": "calls Python functions",
    "video": "shows pictures and sees the caller's camera",
}

_With = Annotated[
    str,
    typer.Option("--with", metavar="|".join(KINDS), help="What the bot starts with.", show_default=False),
]


def new(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write, such as my_bot.py.")],
    kind: _With = "talk",
) -> int:
    """Write a bot that runs. Existing files are never overwritten."""
    if kind not in KINDS:
        from runner.settings.parsing import did_you_mean

        raise UsageError(
            f"--with: unknown kind {kind!r}{did_you_mean(kind, list(KINDS))} ({', '.join(KINDS)})"
        )
    path = _path(file)
    text = (files("runner.cli.new_bots") / f"{kind}.py").read_text()
    _write(path, text.replace("BOT_FILE", shlex.quote(str(path))))
    typer.echo(f"{path} is a bot that {KINDS[kind]}.\n")
    typer.echo(f"  botrun {shlex.quote(str(path))}                   talk to it in the browser")
    if kind != "video":
        typer.echo(f"  botrun call {shlex.quote(str(path))} -t twilio    call it from this terminal")
    return 0


def _path(file: str) -> Path:
    path = Path(file)
    if path.suffix != ".py":
        path = path.with_name(f"{path.name}.py")
    if not path.stem.isidentifier():
        raise UsageError(
            f"{path.name} is not a valid module name. Use letters, digits and _ only, such as my_bot.py"
        )
    from runner.botcode.loader import is_taken

    if path.exists():
        raise UsageError(f"{path} already exists. Choose another name, or delete it first")
    if is_taken(path.stem):
        raise UsageError(f"a library is named {path.stem}. Choose another name, such as {path.stem}_bot.py")
    return path


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileNotFoundError:
        raise UsageError(f"folder {path.parent} does not exist. Create it first") from None
    except OSError as error:
        raise BotrunError(f"{path} cannot be written: {error.strerror or error}") from error
