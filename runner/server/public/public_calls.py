"""The state of a run's public side: its address, providers, and access to the ledger.

Requests are verified with their raw bytes and with the URL that was given to the provider.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Scope
from starlette.websockets import WebSocket

from runner.providers import Provider
from runner.providers.base import DialRequest
from runner.providers.webhooks import CallFacts, MediaSocket, WebRequest
from runner.serializers.handshake import CallInfo
from runner.server.host import DialOrder
from runner.server.public.address import PublicAddress
from runner.server.public.ledger import TICKET_LIFE_S, Ticket, ticket_of
from runner.server.public.ledger_client import LedgerClient
from runner.settings import Settings


class PublicCalls:
    """The public side of a run in one process.

    Args:
        settings: the run's settings.
        address: the public address.
        providers: the served providers by name; the first is the default, for `POST /`. Can be empty: Daily
            needs none.
        ledger_client: the client of the run's ledger, which is shared by all processes.
    """

    def __init__(
        self,
        settings: Settings,
        address: PublicAddress,
        providers: Mapping[str, Provider],
        ledger_client: LedgerClient,
    ) -> None:
        self.settings = settings
        self.address = address
        self.origin = address.origin
        self.dial_key = address.dial_key
        self.providers = dict(providers)
        self.default = next(iter(self.providers), "")
        self._ledger = ledger_client

    def answer_url(self, provider: str) -> str:
        """The webhook address for a number of this provider."""
        return self.address.answer_url(provider)

    # ------------------------------------------------------------ admission

    def check(self, verify: Callable[[], None]) -> None:
        """Verify a request, unless `--accept-unsigned-webhooks` is set.

        Raises:
            RefusedError: the request is not from the provider.
        """
        if not self.settings.accept_unsigned_webhooks:
            verify()

    async def admit(self, call: CallFacts) -> str:
        """Why this call is refused; "" if it is accepted."""
        ends = (call.from_number, call.to_number)
        caller, number = reversed(ends) if call.outbound else ends
        return await self.admit_caller(call.call_id, caller, number)

    async def admit_caller(self, call_id: str, caller: str, number: str = "") -> str:
        """The same for a call of which only the id and the number are known."""
        return cast(str, await self._ledger.ask("admit", call_id, caller, number))

    async def admit_socket(self, info: CallInfo) -> str:
        """The same for a call without a webhook, known only from its socket."""
        return await self.admit_caller(info.call_id, info.from_number or "", info.to_number or "")

    async def is_news(self, event_id: str) -> bool:
        """Whether this event is new; providers repeat events that they believe lost."""
        return cast(bool, await self._ledger.ask("news", event_id))

    def came_to_nothing(self, event_id: str) -> None:
        """Handling the event failed: handle the provider's repetition."""
        self._ledger.send("no_news", event_id)

    async def socket_for(
        self, provider: Provider, call: CallFacts, life_s: float = TICKET_LIFE_S
    ) -> MediaSocket:
        """The URL of the call's media socket, valid for `life_s`."""
        token = await self._ledger.ask("issue", provider.name, asdict(call), life_s)
        return MediaSocket(origin=self.address.socket_origin, token=token)

    async def redeem(self, token: str) -> Ticket:
        """The ticket of a media socket's token, which can be used once.

        Raises:
            RefusedError: the token is unknown, used or expired.
        """
        return ticket_of(await self._ledger.ask("redeem", token))

    def restore(self, token: str, ticket: Ticket) -> None:
        """Make a token valid again: the socket that used it was not the call's."""
        self._ledger.send("restore", token, asdict(ticket))

    async def has_sound(self, call_id: str) -> bool:
        """Whether a call's socket has connected."""
        return cast(bool, await self._ledger.ask("has_sound", call_id))

    def ticket_by_login(self, web: WebRequest) -> Ticket | None:
        """The ticket if Exotel's applet has a fixed socket URL, with user and password instead of a token."""
        exotel = self.providers.get("exotel")
        if exotel is None or "authorization" not in web.headers:
            return None
        exotel.check_request(web, time.time())
        return Ticket("exotel", CallFacts(), time.monotonic() + TICKET_LIFE_S)

    # ------------------------------------------------------------ active calls

    def begins(self, call_id: str, caller: str = "", provider: str = "") -> None:
        """The call's media has come. With `provider`, the call is hung up there if this process dies."""
        self._ledger.send("begins", call_id, caller, provider)

    def ends(self, call_id: str) -> None:
        """The call is over."""
        self._ledger.send("ends", call_id)

    async def transfer_address(self, number: str) -> str:
        """A URL at which the transfer's target can be fetched once."""
        return f"{self.origin}/plivo/transfer/{await self._ledger.ask('park', number)}"

    async def transferred_to(self, token: str) -> str:
        """The transfer's target; "" for an unknown or used token."""
        return cast(str, await self._ledger.ask("parked", token))

    # ------------------------------------------------------------ dialled calls

    async def dial(self, order: DialOrder) -> str:
        """Call a number; returns the call's id.

        Raises:
            ProviderError: the provider refuses the call.
        """
        provider = self.providers[order.provider]
        facts = CallFacts(from_number=order.from_number, to_number=order.to, outbound=True)
        request = DialRequest(
            to=order.to,
            from_number=order.from_number,
            public=self.origin,
            socket=await self.socket_for(provider, facts, TICKET_LIFE_S + order.ring_s),
            limit_s=order.limit_s,
            ring_s=order.ring_s,
            detect_voicemail=order.detect_voicemail,
        )
        call_id = await provider.dial(request)
        self._ledger.send("rings", call_id)
        return call_id

    async def dialled(self, call_id: str) -> tuple[str, bool]:
        """The state of a dialled call ("" if unknown), and whether it is over."""
        word, is_over = await self._ledger.ask("state", call_id)
        return word, is_over

    def became(self, call_id: str, word: str) -> None:
        """The provider reported a call's state."""
        self._ledger.send("became", call_id, word)

    async def reached_voicemail(self, call_id: str) -> bool:
        """Voicemail answered; returns whether this is a dialled call."""
        return cast(bool, await self._ledger.ask("voicemail", call_id))


async def webhook_of(request: Request, origin: str) -> WebRequest:
    """A webhook's data for verification."""
    return WebRequest(
        request.method.upper(), _url(request.scope, origin), _headers(request.scope), await request.body()
    )


def opening_of(websocket: WebSocket, origin: str) -> WebRequest:
    """The data of a socket's opening request, with its ws URL."""
    url = _url(websocket.scope, "ws" + origin.removeprefix("http"))
    return WebRequest("GET", url, _headers(websocket.scope))


def _url(scope: Scope, origin: str) -> str:
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    return (origin.encode() + raw + (b"?" + query if query else b"")).decode("latin-1")


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return headers
