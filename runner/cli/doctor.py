"""`botrun doctor -t twilio`: try, against the real account, what could not be tried without one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.errors import BotrunError, UsageError

if TYPE_CHECKING:
    from runner.providers import Provider
    from runner.settings import Settings

FAILED = 1

_Provider = Annotated[
    list[str],
    typer.Option("--transport", "-t", metavar="NAME", help="Whose account to try; several are allowed."),
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

Check = tuple[str, bool, str]


def doctor(
    providers: _Provider,
    number: _Number = None,
    proxy: _Proxy = None,
    tunnel: _Tunnel = False,
    tunnel_via: _Via = None,
) -> int:
    """Try keys, number and public address of a phone provider. Nothing is changed, nobody is called.

    The exit status is 1 if something does not work.
    """
    import asyncio

    from runner.settings import enter_dotenv, find_dotenv, read_dotenv, resolve

    dotenv = read_dotenv(find_dotenv(Path("bot.py")))
    flags = {"number": number, "proxy": proxy, "tunnel": tunnel or None, "tunnel_via": tunnel_via}
    settings = resolve({"transports": providers, **flags}, dotenv)
    enter_dotenv(dotenv)
    return asyncio.run(_examine(settings, typer.echo))


async def _examine(settings: Settings, echo: Callable[[str], None]) -> int:
    failed = 0
    async for what, works, told in _checks(settings):
        failed += not works
        echo(f"{'ok  ' if works else 'FAIL'}  {what}: {told}")
    return FAILED if failed else 0


async def _checks(settings: Settings) -> AsyncIterator[Check]:
    from runner.server.public.opening import make_providers
    from runner.server.public.readiness import is_public, phones_of

    names = phones_of(settings.transports)
    if not names:
        raise UsageError("doctor looks at phone providers: -t twilio, telnyx, plivo or exotel")
    for provider in make_providers(settings, names).values():
        async for check in _check_provider(provider, settings.number):
            yield check
        await provider.aclose()
    if is_public(settings):
        yield await _check_address(settings)


async def _check_provider(provider: Provider, number: str | None) -> AsyncIterator[Check]:
    needed = dict.fromkeys((*provider.rest_keys, *provider.signing_keys))
    missing = provider.missing_keys(tuple(needed))
    yield f"{provider.title} keys", not missing, f"missing: {', '.join(missing)}" if missing else "all set"
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
        return what, False, str(error)
    return what, True, told
