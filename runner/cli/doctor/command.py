"""`botrun doctor`: check this machine and, with `-t`, a provider's account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FAILED = 1

_Provider = Annotated[
    list[str] | None,
    typer.Option(
        "--transport", "-t", metavar="NAME", help="Also check this provider's account. Several are allowed."
    ),
]
_Try = Annotated[
    bool, typer.Option("--try", help="Test each service key that is set with one request that costs nothing.")
]
_Number = Annotated[
    str | None,
    typer.Option("--number", metavar="+1…", help="Check that this number is yours and can be set up."),
]
_Proxy = Annotated[
    str | None,
    typer.Option("--proxy", "-x", metavar="HOST", help="Check that this public address leads here."),
]
_Tunnel = Annotated[bool, typer.Option("--tunnel", help="Open a tunnel and check that it leads here.")]
_Via = Annotated[str | None, typer.Option("--tunnel-via", metavar="WHAT", help="As for botrun run.")]


def doctor(
    providers: _Provider = None,
    number: _Number = None,
    proxy: _Proxy = None,
    tunnel: _Tunnel = False,
    tunnel_via: _Via = None,
    keys_too: _Try = False,
) -> int:
    """Check this machine and, with -t, a provider's account. Nothing is changed and nobody is called; with
    -t daily, a room is created, joined and deleted.

    The exit status is 1 if a check fails.
    """
    import asyncio

    from runner.cli.doctor.examination import State, examine
    from runner.settings import enter_dotenv, find_dotenv, read_dotenv, resolve

    path = find_dotenv(Path("bot.py"))
    dotenv = read_dotenv(path)
    flags = {"number": number, "proxy": proxy, "tunnel": tunnel or None, "tunnel_via": tunnel_via}
    settings = resolve({"transports": providers, **flags}, dotenv)
    failed = 0

    async def show() -> None:
        nonlocal failed
        async for check in examine(settings, path, dotenv, keys_too):
            failed += check.state is State.FAIL
            typer.echo(str(check))

    enter_dotenv(dotenv)
    asyncio.run(show())
    return FAILED if failed else 0
