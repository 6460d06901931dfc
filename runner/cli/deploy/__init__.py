"""`botrun deploy docker|compose|kubernetes|systemd|fly`: writes the files for running a bot there.

The templates are in `files/`. Names such as `$name` are substituted; `$$` is a dollar.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from runner.errors import UsageError
from runner.settings.transports import TRANSPORTS

IMAGE = ("Dockerfile", "dockerignore", "requirements.txt")
TARGETS = {
    "docker": IMAGE,
    "compose": (*IMAGE, "compose.yaml"),
    "kubernetes": (*IMAGE, "kubernetes.yaml"),
    "systemd": ("requirements.txt", "bot.service"),
    "fly": (*IMAGE, "fly.toml"),
}
KEPT = frozenset({"requirements.txt"})
"""Files that are never overwritten."""

NEXT = {
    "docker": "docker build -t {image} .",
    "compose": "docker compose up --build",
    "kubernetes": "kubectl apply -f kubernetes.yaml",
    "systemd": "sudo cp {name}.service /etc/systemd/system/",
    "fly": "fly launch --no-deploy --copy-config",
}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The parameters of a deployment.

    Attributes:
        file: the bot's file name.
        transports: the transports to serve.
        host: the public host name that carriers connect to.
        image: the image's name, with its tag.
    """

    file: str
    transports: tuple[str, ...]
    host: str
    image: str

    @property
    def name(self) -> str:
        """The name for services, pods and folders: RFC 1123 allows a-z, 0-9 and -."""
        return re.sub(r"[^a-z0-9]+", "-", Path(self.file).stem.lower()).strip("-") or "bot"

    @property
    def words(self) -> list[str]:
        """The arguments of `botrun serve` after the file."""
        return [word for name in self.transports for word in ("-t", name)] + ["--proxy", self.host]

    def written(self, template: str) -> str:
        """A template's text, filled in."""
        text = (files("runner.cli.deploy") / "files" / template).read_text()
        return Template(text).substitute(
            name=self.name,
            file=self.file,
            host=self.host,
            image=self.image,
            words=shlex.join([self.file, *self.words]),
            quoted=json.dumps(self.file),
            arguments=", ".join(json.dumps(word) for word in self.words),
        )

    def path_of(self, template: str) -> str:
        """The name of the file to write for a template."""
        return {"dockerignore": ".dockerignore", "bot.service": f"{self.name}.service"}.get(
            template, template
        )


def deploy(
    target: Annotated[str, typer.Argument(metavar="|".join(TARGETS), help="Where the bot will run.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The bot's file.")],
    transports: Annotated[
        list[str] | None,
        typer.Option("--transport", "-t", metavar="NAME", help="What to serve. Repeatable. Default: twilio."),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Public name that carriers connect to.")
    ] = "bot.example.com",
    image: Annotated[
        str | None, typer.Option(metavar="NAME:TAG", help="Name of the image. Default: the bot's name.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("."),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> int:
    """Write the files for running the bot there, with comments. Edit them: they are yours."""
    plan = _checked(target, file, transports or ["twilio"], host, image)
    made = {template: out / plan.path_of(template) for template in TARGETS[target]}
    kept = {template for template, path in made.items() if template in KEPT and path.exists()}
    there = [str(path) for template, path in made.items() if path.exists() and template not in kept]
    if there and not force:
        raise UsageError(f"{', '.join(there)} already exists. Use --force to overwrite, or -o FOLDER")
    out.mkdir(parents=True, exist_ok=True)
    for template, path in made.items():
        if template not in kept:
            path.write_text(plan.written(template))
            typer.echo(f"wrote {path}")
    typer.echo(f"\nnext: {NEXT[target].format(image=plan.image, name=plan.name)}   (see docs/deploy.md)")
    return 0


def _checked(target: str, file: str, transports: list[str], host: str, image: str | None) -> Deployment:
    from runner.settings.parsing import did_you_mean, parse_public

    if target not in TARGETS:
        known = ", ".join(TARGETS)
        raise UsageError(f"unknown target {target!r}{did_you_mean(target, list(TARGETS))} ({known})")
    if not Path(file).is_file():
        raise UsageError(f"no such file: {file}")
    for name in transports:
        if name not in TRANSPORTS:
            hint = did_you_mean(name, list(TRANSPORTS))
            raise UsageError(f"--transport: unknown transport {name!r} ({', '.join(TRANSPORTS)}){hint}")
    public = parse_public(host).removeprefix("https://")
    plan = Deployment(file=Path(file).name, transports=tuple(transports), host=public, image=image or "")
    return plan if image else Deployment(**{**vars(plan), "image": f"{plan.name}:latest"})
