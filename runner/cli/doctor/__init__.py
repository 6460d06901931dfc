"""`botrun doctor`: check this machine and, with `-t`, a provider's account."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import BotrunError, UsageError

if TYPE_CHECKING:
    from runner.cli.doctor.machine import Check
    from runner.providers import Provider
    from runner.settings import Settings

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
    """Check this machine and, with -t, a provider's account. Changes nothing and makes no calls; with
    -t daily, creates, joins and deletes a room.

    The exit status is 1 if a check fails.
    """
    import asyncio

    from runner.cli.doctor.machine import State
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


async def examine(
    settings: Settings, path: Path | None, dotenv: Mapping[str, str], keys_too: bool
) -> AsyncIterator[Check]:
    """Run all checks in order. Service keys are tested only with `keys_too`."""
    from runner.cli.doctor.machine import machine_checks
    from runner.cli.doctor.trials import try_keys
    from runner.server.public.address import is_public, phones_of

    for check in machine_checks(settings, path, dotenv):
        yield check
    if keys_too:
        async for check in try_keys(dotenv):
            yield check
    phones = phones_of(settings.transports)
    if is_public(settings) and not phones and "daily" not in settings.transports:
        raise UsageError("a public address is for phone calls. Add -t twilio, telnyx, plivo, exotel or daily")
    async for check in _phone_checks(settings, phones):
        yield check
    if "daily" in settings.transports:
        from runner.cli.doctor.trials import daily_checks

        async for check in daily_checks():
            yield check
    if is_public(settings):
        yield await _check_address(settings)


async def _phone_checks(settings: Settings, phones: list[str]) -> AsyncIterator[Check]:
    from runner.server.public.keeper import make_providers

    for provider in make_providers(settings, phones).values() if phones else ():
        async for check in _check_provider(provider, settings.number):
            yield check
        await provider.aclose()


async def _check_provider(provider: Provider, number: str | None) -> AsyncIterator[Check]:
    from runner.cli.doctor.machine import Check, State

    needed = dict.fromkeys((*provider.rest_keys, *provider.signing_keys))
    missing = provider.missing_keys(tuple(needed))
    state = State.FAIL if missing else State.OK
    result = (
        f"add {', '.join(missing)} to .env; {provider.title}'s console shows them" if missing else "all set"
    )
    yield Check(f"{provider.title} keys", state, result)
    if provider.missing_keys(provider.rest_keys):
        return
    yield await _tried(f"{provider.title} account", provider.check_account)
    if number:

        async def look() -> str:
            state = await provider.number_state(number)
            url = state.get("voice_url") or state.get("answer_url") or "nothing"
            return f"is yours and can be set up; it now uses {url.partition('?')[0]}"

        yield await _tried(f"{provider.title} number", look)


async def _check_address(settings: Settings) -> Check:
    """Open the public port without a bot behind it, and connect through the public address."""
    from runner.botcode.loader import LoadedBot
    from runner.server.host import Host
    from runner.server.public.public_side import PublicSide
    from runner.sessions.registry import Sessions

    async def nobody(args: object) -> None: ...

    bot = LoadedBot(Path("doctor"), "nobody", nobody, sys.modules[__name__])
    # The number is not changed, and no call is taken.
    settings = replace(settings, number=None)
    host = Host(settings, bot, Sessions(bot), settings.transports)
    side = PublicSide(host)

    async def reach() -> str:
        await side.open()
        assert host.public_calls is not None
        return f"{host.public_calls.origin} leads here, WebSockets included"

    try:
        return await _tried("public address", reach)
    finally:
        await side.aclose()


async def _tried(what: str, attempt: Callable[[], Awaitable[str]]) -> Check:
    from runner.cli.doctor.machine import Check, State

    try:
        result = await attempt()
    except BotrunError as error:
        return Check(what, State.FAIL, str(error))
    return Check(what, State.OK, result)
