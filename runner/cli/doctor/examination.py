"""All checks of `botrun doctor`: this machine, keys, a provider's account, the public address."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.doctor.key_trials import try_keys
from runner.cli.doctor.machine import Check, State, machine_checks
from runner.errors import BotrunError, UsageError

if TYPE_CHECKING:
    from runner.providers import Provider
    from runner.settings import Settings

__all__ = ["Check", "State", "examine"]


async def examine(
    settings: Settings, path: Path | None, dotenv: Mapping[str, str], keys_too: bool
) -> AsyncIterator[Check]:
    """Run all checks in order. Service keys are tested only with `keys_too`."""
    from runner.server.public.readiness import is_public, phones_of

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
        from runner.cli.doctor.daily_trials import daily_checks

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
    try:
        result = await attempt()
    except BotrunError as error:
        return Check(what, State.FAIL, str(error))
    return Check(what, State.OK, result)
