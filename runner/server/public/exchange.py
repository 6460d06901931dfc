"""What the public side of a run knows: address, providers, who was answered, how much is taken."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from runner.providers import Provider
from runner.providers.base import DialRequest, Event
from runner.providers.documents import CallFacts, MediaSocket
from runner.providers.webhooks import WebRequest
from runner.serializers.handshake import HandshakeResult
from runner.server.public.limits import CallLimits
from runner.server.public.outgoing import Outgoing
from runner.server.public.tickets import LIFE_S, Ticket, Tickets
from runner.settings import Settings

MOST_TRANSFERS = 100
MOST_EVENTS = 500


@dataclass(frozen=True, kw_only=True)
class DialOrder:
    """Whom to call. Durations in seconds."""

    provider: str
    to: str
    from_number: str
    limit_s: int
    ring_s: int
    detect_voicemail: bool


class Exchange:
    """The public side of a run.

    Args:
        settings: the run's.
        origin: the public address, "https://host".
        providers: by name, those served; the first is the default, which `POST /` is for. There may be none:
            Daily's callers come without.
    """

    def __init__(self, settings: Settings, origin: str, providers: Mapping[str, Provider]) -> None:
        self.settings = settings
        self.origin = origin
        self.providers = dict(providers)
        self.default = next(iter(self.providers), "")
        self.tickets = Tickets()
        self.outgoing = Outgoing()
        self.transfers: dict[str, str] = {}
        self._events: deque[str] = deque(maxlen=MOST_EVENTS)
        self.probe_answer = secrets.token_urlsafe(16)
        self.dial_key = settings.login_key or secrets.token_urlsafe(24)
        self._probe_token = secrets.token_urlsafe(24)
        self._limits = CallLimits(
            calls=settings.max_public_calls,
            per_caller=settings.max_calls_per_caller,
            starts_per_min=settings.max_starts_per_min,
            connect_s=LIFE_S,
        )

    def answer_url(self, provider: str) -> str:
        """Where a number of this provider must ask."""
        return f"{self.origin}/{provider}/answer"

    @property
    def socket_origin(self) -> str:
        return "ws" + self.origin.removeprefix("http")

    @property
    def probe_url(self) -> str:
        return f"{self.socket_origin}/ws/{self._probe_token}"

    def is_probe(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self._probe_token.encode())

    # ------------------------------------------------------------ who may come in

    def check(self, verify: Callable[[], None]) -> None:
        """Verify, unless the person at the terminal has switched it off in so many words.

        Raises:
            RefusedError: it is not the provider.
        """
        if not self.settings.accept_unsigned_webhooks:
            verify()

    def admit(self, provider: Provider, call: CallFacts) -> str:
        """Why this call is not taken; "" if it is. Calls that we made were counted before."""
        if self.outgoing.state(call.call_id):
            return ""
        caller = call.to_number if call.outbound else call.from_number
        return self._limits.refusal(call.call_id, caller, time.monotonic())

    def admit_caller(self, call_id: str, caller: str) -> str:
        """The same for a call that no phone provider of ours carries."""
        return self._limits.refusal(call_id, caller, time.monotonic())

    def admit_socket(self, told: HandshakeResult) -> str:
        """The same for a call of which nothing is known before its socket."""
        if self.outgoing.state(told.call_id):
            return ""
        return self._limits.refusal(told.call_id, told.from_number or "", time.monotonic())

    def is_news(self, event: Event) -> bool:
        """Whether this event was not told before: what a provider thinks lost, it tells again."""
        if event.event_id in self._events:
            return False
        self._events.append(event.event_id)
        return True

    def socket_for(self, provider: Provider, call: CallFacts) -> MediaSocket:
        """Where the call's sound shall come."""
        token = self.tickets.issue(provider.name, call, time.monotonic())
        return MediaSocket(origin=self.socket_origin, token=token)

    def ticket_by_login(self, web: WebRequest) -> Ticket | None:
        """Exotel's applet may have the socket's own address: then user and password stand for the token."""
        exotel = self.providers.get("exotel")
        if exotel is None or "authorization" not in web.headers:
            return None
        exotel.check_request(web, time.time())
        return Ticket("exotel", CallFacts(), time.monotonic() + LIFE_S)

    # ------------------------------------------------------------ calls under way

    def begins(self, call_id: str) -> None:
        """The call's sound has come."""
        self._limits.connected(call_id)
        self.outgoing.talks(call_id)

    def ends(self, call_id: str) -> None:
        """The call is over."""
        self._limits.over(call_id)
        self.outgoing.hung_up(call_id)

    def transfer_address(self, number: str) -> str:
        """An address that tells, once, where the caller goes."""
        while len(self.transfers) >= MOST_TRANSFERS:
            self.transfers.pop(next(iter(self.transfers)))
        token = secrets.token_urlsafe(24)
        self.transfers[token] = number
        return f"{self.origin}/plivo/transfer/{token}"

    async def dial(self, order: DialOrder) -> str:
        """Call somebody; returns the call's id.

        Raises:
            ProviderError: the provider does not do it.
        """
        provider = self.providers[order.provider]
        facts = CallFacts(from_number=order.from_number, to_number=order.to, outbound=True)
        token = self.tickets.issue(provider.name, facts, time.monotonic(), LIFE_S + order.ring_s)
        request = DialRequest(
            to=order.to,
            from_number=order.from_number,
            public=self.origin,
            socket=MediaSocket(origin=self.socket_origin, token=token),
            limit_s=order.limit_s,
            ring_s=order.ring_s,
            detect_voicemail=order.detect_voicemail,
        )
        call_id = await provider.dial(request)
        self.outgoing.rings(call_id)
        return call_id
