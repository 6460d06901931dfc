"""`botrun doctor`: is this machine fit for it? With `-t twilio`: is the account?"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.key_trials import try_keys
from runner.cli.machine import Check, State, machine_checks
from runner.errors import BotrunError, UsageError

if TYPE_CHECKING:
    from runner.providers import Provider
    from runner.settings import Settings

FAILED = 1

_Provider = Annotated[
    list[str] | None,
    typer.Option("--transport", "-t", metavar="NAME", help="Whose account to try, too; several are allowed."),
]
_Try = Annotated[
    bool, typer.Option("--try", help="Try the keys of services: one request each, which costs nothing.")
]
_Number = Annotated[
    str | None,
    typer.Option("--number", metavar="+1…", help="A number of yours: is it there, can it be set up?"),
]
_Proxy = Annotated[
    str | None, typer.Option("--proxy", "-x", metavar="HOST", help="Does this public address lead here?")
]
_Tunnel = Annotated[bool, typer.Option("--tunnel", help="Open a tunnel, and see that it leads here.")]
_Via = Annotated[str | None, typer.Option("--tunnel-via", metavar="WHAT", help="As for botrun run.")]


def doctor(
    providers: _Provider = None,
    number: _Number = None,
    proxy: _Proxy = None,
    tunnel: _Tunnel = False,
    tunnel_via: _Via = None,
    keys_too: _Try = False,
) -> int:
    """Look at this machine, and with -t at a provider's account. Nothing is changed, nobody is called; with
    -t daily a room is made, joined and deleted.

    The exit status is 1 if something does not work.
    """
    import asyncio

    from runner.settings import enter_dotenv, find_dotenv, read_dotenv, resolve

    path = find_dotenv(Path("bot.py"))
    dotenv = read_dotenv(path)
    flags = {"number": number, "proxy": proxy, "tunnel": tunnel or None, "tunnel_via": tunnel_via}
    settings = resolve({"transports": providers, **flags}, dotenv)
    failed = 0

    async def examine() -> None:
        nonlocal failed
        async for check in _checks(settings, path, dotenv, keys_too):
            failed += check.state is State.FAIL
            typer.echo(str(check))

    enter_dotenv(dotenv)
    asyncio.run(examine())
    return FAILED if failed else 0


async def _checks(
    settings: Settings, path: Path | None, dotenv: Mapping[str, str], keys_too: bool
) -> AsyncIterator[Check]:
    from runner.server.public.readiness import is_public, phones_of

    for check in machine_checks(settings, path, dotenv):
        yield check
    if keys_too:
        async for check in try_keys(dotenv):
            yield check
    phones = phones_of(settings.transports)
    if is_public(settings) and not phones and "daily" not in settings.transports:
        raise UsageError("a public address is for phone calls: add -t twilio, telnyx, plivo, exotel or daily")
    async for check in _phone_checks(settings, phones):
        yield check
    if "daily" in settings.transports:
        from runner.cli.daily_trials import daily_checks

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
    needed = dict.fromkeys((*provider.rest_keys, *provider.signing_keys))
    missing = provider.missing_keys(tuple(needed))
    state = State.FAIL if missing else State.OK
    told = (
        f"put {', '.join(missing)} into .env; {provider.title}'s console shows them" if missing else "all set"
    )
    yield Check(f"{provider.title} keys", state, told)
    if provider.missing_keys(provider.rest_keys):
        return
    yield await _tried(f"{provider.title} account", provider.check_account)
    if number:

        async def look() -> str:
            state = await provider.number_state(number)
            url = state.get("voice_url") or state.get("answer_url") or "nothing"
            return f"is yours, asks {url.partition('?')[0]} now, and can be set up"

        yield await _tried(f"{provider.title} number", look)


async def _check_address(settings: Settings) -> Check:
    """Open the public door with no bot behind it, and come in through the address."""
    from runner.discovery import LoadedBot
    from runner.server.app import Host
    from runner.server.public.opening import PublicSide
    from runner.session import Sessions

    async def nobody(args: object) -> None: ...

    bot = LoadedBot(Path("doctor"), "nobody", nobody, sys.modules[__name__])
    # The number is left alone, and no call is taken meanwhile.
    settings = replace(settings, number=None)
    host = Host(settings, bot, Sessions(bot), settings.transports)
    side = PublicSide(host)

    async def reach() -> str:
        await side.open()
        assert host.exchange is not None
        return f"{host.exchange.origin} leads here, WebSockets included"

    try:
        return await _tried("public address", reach)
    finally:
        await side.aclose()


async def _tried(what: str, attempt: Callable[[], Awaitable[str]]) -> Check:
    try:
        told = await attempt()
    except BotrunError as error:
        return Check(what, State.FAIL, str(error))
    return Check(what, State.OK, told)
