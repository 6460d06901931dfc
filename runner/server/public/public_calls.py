"""What the public side of a run knows: its address, providers, answered calls and limits.

Requests are checked as their bytes came in, at the address that the provider was given.
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
    """The public side of a run, as one process serves it.

    Args:
        settings: the run's.
        address: its public address.
        providers: by name, those served; the first is the default, which `POST /` is for. There may be none:
            Daily's callers come without.
        ledger_client: the run's ledger; what must hold for all processes of the run is asked there.
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

    # ------------------------------------------------------------ who may come in

    def check(self, verify: Callable[[], None]) -> None:
        """Verify, unless `--accept-unsigned-webhooks` switched it off.

        Raises:
            RefusedError: it is not the provider.
        """
        if not self.settings.accept_unsigned_webhooks:
            verify()

    async def admit(self, call: CallFacts) -> str:
        """Why this call is not taken; "" if it is."""
        ends = (call.from_number, call.to_number)
        caller, number = reversed(ends) if call.outbound else ends
        return await self.admit_caller(call.call_id, caller, number)

    async def admit_caller(self, call_id: str, caller: str, number: str = "") -> str:
        """The same, for a call of which only that is known."""
        return cast(str, await self._ledger.ask("admit", call_id, caller, number))

    async def admit_socket(self, info: CallInfo) -> str:
        """The same for a call of which nothing is known before its socket."""
        return await self.admit_caller(info.call_id, info.from_number or "", info.to_number or "")

    async def is_news(self, event_id: str) -> bool:
        """Whether this event is new: a provider repeats events that it believes lost."""
        return cast(bool, await self._ledger.ask("news", event_id))

    def came_to_nothing(self, event_id: str) -> None:
        """Handling this event failed: the provider may repeat it."""
        self._ledger.send("no_news", event_id)

    async def socket_for(
        self, provider: Provider, call: CallFacts, life_s: float = TICKET_LIFE_S
    ) -> MediaSocket:
        """The media socket for the call's sound, valid for `life_s`."""
        token = await self._ledger.ask("issue", provider.name, asdict(call), life_s)
        return MediaSocket(origin=self.address.socket_origin, token=token)

    async def redeem(self, token: str) -> Ticket:
        """What a media socket's token stands for; it is used up.

        Raises:
            RefusedError: it was never given out, is used up or too old.
        """
        return ticket_of(await self._ledger.ask("redeem", token))

    def restore(self, token: str, ticket: Ticket) -> None:
        """The socket that brought this token was not its call's: the token is good again."""
        self._ledger.send("restore", token, asdict(ticket))

    async def has_sound(self, call_id: str) -> bool:
        """Whether a call's socket has come."""
        return cast(bool, await self._ledger.ask("has_sound", call_id))

    def ticket_by_login(self, web: WebRequest) -> Ticket | None:
        """Exotel's applet may have the socket's own address: then user and password stand for the token."""
        exotel = self.providers.get("exotel")
        if exotel is None or "authorization" not in web.headers:
            return None
        exotel.check_request(web, time.time())
        return Ticket("exotel", CallFacts(), time.monotonic() + TICKET_LIFE_S)

    # ------------------------------------------------------------ calls under way

    def begins(self, call_id: str, caller: str = "", provider: str = "") -> None:
        """The call's sound has come. With `provider`, the call is hung up there if this process dies."""
        self._ledger.send("begins", call_id, caller, provider)

    def ends(self, call_id: str) -> None:
        """The call is over."""
        self._ledger.send("ends", call_id)

    async def transfer_address(self, number: str) -> str:
        """A URL that gives, once, where the caller goes."""
        return f"{self.origin}/plivo/transfer/{await self._ledger.ask('park', number)}"

    async def transferred_to(self, token: str) -> str:
        """The number; "" for a token that is unknown or used."""
        return cast(str, await self._ledger.ask("parked", token))

    # ------------------------------------------------------------ calls that we make

    async def dial(self, order: DialOrder) -> str:
        """Call somebody; returns the call's id.

        Raises:
            ProviderError: the provider does not do it.
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
        """What has become of a call that we made, "" if we did not; and whether it is over."""
        word, is_over = await self._ledger.ask("state", call_id)
        return word, is_over

    def became(self, call_id: str, word: str) -> None:
        """The provider reported a call's state."""
        self._ledger.send("became", call_id, word)

    async def reached_voicemail(self, call_id: str) -> bool:
        """A machine picked up; whether that was a call of ours."""
        return cast(bool, await self._ledger.ask("voicemail", call_id))


async def webhook_of(request: Request, origin: str) -> WebRequest:
    """A webhook."""
    return WebRequest(
        request.method.upper(), _url(request.scope, origin), _headers(request.scope), await request.body()
    )


def opening_of(websocket: WebSocket, origin: str) -> WebRequest:
    """The request that opens a socket; its address is the ws one."""
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
