"""How a provider's call ends: hung up once, handed to somebody, or left to the bot's next step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from runner.errors import ProviderError
from runner.providers import Provider, provider_named
from runner.providers.base import masked
from runner.settings.parsing import parse_phone_number
from runner.transports.session_port import HangUpPolicy

logger = logging.getLogger(__name__)

HOLD_S = 4.8
"""No session is held longer (s) by what the provider has to be told."""

KEYS_OF = {
    "twilio": {"account_sid": "TWILIO_ACCOUNT_SID", "auth_token": "TWILIO_AUTH_TOKEN"},
    "telnyx": {"api_key": "TELNYX_API_KEY"},
    "plivo": {"auth_id": "PLIVO_AUTH_ID", "auth_token": "PLIVO_AUTH_TOKEN"},
}
"""The serializers' names of credentials, and the variables': a bot may bring another account's."""


class ProviderCallEnding:
    """A call that a provider brought.

    Args:
        provider: whose call it is.
        call_id: the provider's id of it.
        document_url: makes the address at which the provider may fetch where the caller goes.
    """

    def __init__(
        self, provider: Provider, call_id: str, document_url: Callable[[str], Awaitable[str]]
    ) -> None:
        self._provider = provider
        self._call_id = call_id
        self._document_url = document_url
        self._transfer: asyncio.Task[None] | None = None

    async def transfer(self, to: str) -> None:
        number = to if to.startswith("sip:") else parse_phone_number(to)
        logger.info("the caller is handed to %s", masked(number))
        # Not the bot's task: its pipeline may end while the provider is still being told.
        self._transfer = asyncio.create_task(self._hand_over(number), name="transfer")
        await asyncio.shield(self._transfer)

    async def _hand_over(self, number: str) -> None:
        await self._provider.transfer(self._call_id, number, await self._document_url(number))

    async def finish(self, policy: HangUpPolicy) -> None:
        try:
            async with asyncio.timeout(HOLD_S):
                if not await self._handed_over() and policy.auto_hang_up:
                    await self._hang_up(policy.credentials)
        except TimeoutError:
            logger.warning(
                "call %s: timed out asking %s to hang up; it may still be connected",
                self._call_id,
                self._provider.title,
            )
        except ProviderError as error:
            logger.warning("call %s: hanging up failed, it may still be connected: %s", self._call_id, error)

    async def _handed_over(self) -> bool:
        if self._transfer is None:
            return False
        await asyncio.wait({self._transfer})
        return not self._transfer.cancelled() and self._transfer.exception() is None

    async def _hang_up(self, credentials: Mapping[str, str]) -> None:
        names = KEYS_OF.get(self._provider.name, {})
        own = {names[name]: value for name, value in credentials.items() if name in names}
        if not own or not self._provider.differs_from(own):
            await self._provider.hang_up(self._call_id)
            return
        theirs = provider_named(self._provider.name, own, self._provider.api)
        try:
            complete = not theirs.missing_keys(theirs.rest_keys)
            await (theirs if complete else self._provider).hang_up(self._call_id)
        finally:
            await theirs.aclose()
