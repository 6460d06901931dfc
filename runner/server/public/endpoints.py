"""The public endpoints, reached through a tunnel: the providers' routes and nothing else.

They are a separate application on a separate socket that only the tunnel's local end reaches; the page,
`/start` and everything that shows calls are not part of it. Each request must prove that it is from the
provider, for the configured public address, before anything starts. `ProviderCallEnding` ends a provider's
call: it hangs up once, transfers the caller, or leaves the call to the provider.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from runner.errors import ProtocolError, ProviderError
from runner.logs import ThrottledLog
from runner.providers import Provider, provider_named
from runner.providers.base import Event, masked
from runner.providers.webhooks import CallFacts, Document, RefusedError, WebRequest
from runner.serializers.handshake import CallInfo
from runner.server.access import BodyLimit, NoBrowsers
from runner.server.endpoints.media_socket import Carried, MediaSocketEndpoint
from runner.server.host import LedgerUnavailableError
from runner.server.public.ledger import Ticket
from runner.server.public.pinless import PATHS, PinlessEndpoint
from runner.server.public.public_calls import PublicCalls, opening_of, webhook_of
from runner.server.wire.connection_limits import verify
from runner.server.wire.websocket_protocol import POLICY_VIOLATION, close
from runner.sessions.admission import RETRY_AFTER_S
from runner.settings.parsing import parse_phone_number
from runner.transports.session_port import HangUpPolicy

logger = logging.getLogger(__name__)

HOLD_S = 4.8
"""Maximum time (s) that requests to the provider delay a session's end."""

KEYS_OF = {
    "twilio": {"account_sid": "TWILIO_ACCOUNT_SID", "auth_token": "TWILIO_AUTH_TOKEN"},
    "telnyx": {"api_key": "TELNYX_API_KEY"},
    "plivo": {"auth_id": "PLIVO_AUTH_ID", "auth_token": "PLIVO_AUTH_TOKEN"},
}
"""Environment variables by the serializers' names of credentials: a bot may use another account."""

BODY_LIMIT_BYTES = 64 * 1024
GIVE_UP_S = 2.0
"""Time (s) after which a call is hung up if, after a wrong socket, its own does not come."""

Handler = Callable[[Provider, WebRequest, Request], Awaitable[Response]]


def create_public_app(
    public_calls: PublicCalls, calls: MediaSocketEndpoint, pinless: PinlessEndpoint | None = None
) -> Starlette:
    """The application behind the tunnel. `pinless`: Daily's dial-in, if Daily is served."""
    endpoints = PublicEndpoints(public_calls, calls)
    daily = [Route(path, pinless.ring, methods=["POST"]) for path in PATHS] if pinless else []
    both = ["GET", "POST"]
    routes = [
        *daily,
        Route("/", endpoints.route(endpoints.answer), methods=["POST"]),
        Route("/{provider}/answer", endpoints.route(endpoints.answer), methods=both),
        Route("/{provider}/status", endpoints.route(endpoints.status), methods=both),
        Route("/{provider}/transfer/{token}", endpoints.route(endpoints.transfer), methods=both),
        WebSocketRoute("/ws", endpoints.media),
        WebSocketRoute("/ws/{token}", endpoints.media),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.add_middleware(BodyLimit, limit=BODY_LIMIT_BYTES)
    app.add_middleware(NoBrowsers, origin=public_calls.origin)
    return app


class PublicEndpoints:
    """The providers' routes."""

    def __init__(self, public_calls: PublicCalls, calls: MediaSocketEndpoint) -> None:
        self._public_calls = public_calls
        self._calls = calls
        self._log = ThrottledLog(logger)

    # ------------------------------------------------------------ webhooks

    def route(self, handle: Handler) -> Callable[[Request], Awaitable[Response]]:
        """A route that calls the handler after it has checked the request's signature."""

        async def checked(request: Request) -> Response:
            name = request.path_params.get("provider", self._public_calls.default)
            provider = self._public_calls.providers.get(name)
            if provider is None:
                return Response(status_code=404)
            try:
                web = await webhook_of(request, self._public_calls.origin)
                self._public_calls.check(lambda: provider.check_request(web, time.time()))
                verify(request.scope)
                return await handle(provider, web, request)
            except RefusedError as error:
                self._log.warning("a %s webhook was refused: %s", provider.title, error)
                return Response("refused\n", 403, media_type="text/plain")
            except (ProviderError, LedgerUnavailableError) as error:
                self._log.warning("a %s webhook could not be answered: %s", provider.title, error)
                return Response("not ready\n", 503, media_type="text/plain")

        return checked

    async def answer(self, provider: Provider, web: WebRequest, request: Request) -> Response:
        """A call comes in, or a dialled call is answered."""
        call = provider.read_call(web)
        if not call.call_id:
            raise RefusedError("it has no call id")
        if event := provider.event(web):
            return await self._event(provider, web, event)
        if call.answered_by == "machine":
            await self._public_calls.reached_voicemail(call.call_id)
            return _response(provider.end())
        if await self._busy(call):
            return _response(provider.busy())
        return _response(provider.answer(call, await self._public_calls.socket_for(provider, call)))

    async def _busy(self, call: CallFacts) -> bool:
        reason = self._calls.refusal or await self._public_calls.admit(call)
        if reason:
            self._log.warning("a caller was refused with a busy message: %s", reason)
        return bool(reason)

    async def _event(self, provider: Provider, web: WebRequest, event: Event) -> Response:
        """For providers that take commands. They repeat events that are not answered with 200."""
        call = provider.read_call(web)
        if not event.rings:
            return await self._became(provider, call, event.kind)
        if await self._public_calls.is_news(event.event_id):
            try:
                if await self._busy(call):
                    await provider.turn_away(call, event)
                else:
                    socket = await self._public_calls.socket_for(provider, call)
                    await provider.pick_up(call, socket, event)
            except ProviderError as error:
                logger.warning("a call could not be answered: %s", error)
        return Response(status_code=200)

    async def status(self, provider: Provider, web: WebRequest, request: Request) -> Response:
        """The state of a dialled call."""
        event = provider.event(web)
        word = web.fields.get("CallStatus") or web.fields.get("Status") or (event.kind if event else "")
        return await self._became(provider, provider.read_call(web), word)

    async def _became(self, provider: Provider, call: CallFacts, word: str) -> Response:
        public_calls = self._public_calls
        if call.answered_by == "machine" and await public_calls.reached_voicemail(call.call_id):
            try:
                await provider.hang_up(call.call_id)
            except ProviderError as error:
                logger.warning("hanging up on voicemail failed: %s", error)
        elif word:
            public_calls.became(call.call_id, word)
        return Response(status_code=200)

    async def transfer(self, provider: Provider, web: WebRequest, request: Request) -> Response:
        """The document with the transfer's target, for providers that fetch it."""
        number = await self._public_calls.transferred_to(request.path_params["token"])
        return _response(provider.transfer_document(number)) if number else Response(status_code=404)

    # ------------------------------------------------------------ sound

    async def media(self, websocket: WebSocket) -> None:
        """A media socket. It is accepted only after its token and signature are checked."""
        try:
            ticket = await self._admitted(websocket)
        except (RefusedError, LedgerUnavailableError) as error:
            self._log.warning("a media socket was refused: %s", error)
            await websocket.close(POLICY_VIOLATION)
            return
        await websocket.accept()
        if ticket is None:
            await websocket.send_text(self._public_calls.address.probe_answer)
            await websocket.close()
        else:
            await self._talk(websocket, ticket)

    async def _admitted(self, websocket: WebSocket) -> Ticket | None:
        """The call of this socket; None for the run's own probe."""
        token = _token(websocket)
        if token and self._public_calls.address.is_probe(token):
            return None
        web = opening_of(websocket, self._public_calls.origin)
        if not token and (ticket := self._public_calls.ticket_by_login(web)):
            return ticket
        ticket = await self._public_calls.redeem(token)
        provider = self._public_calls.providers[ticket.provider]
        try:
            self._public_calls.check(lambda: provider.check_socket(web))
        except RefusedError:
            self._public_calls.restore(token, ticket)
            raise
        return ticket

    async def _talk(self, websocket: WebSocket, ticket: Ticket) -> None:
        provider, call = self._public_calls.providers[ticket.provider], ticket.call
        info = await self._calls.handshake(websocket)
        if info is None:
            await self._wait_for_another(websocket, ticket)
            return
        owner = await self._calls.rejoining.elsewhere(info)
        try:
            await self._check_start(ticket, info, is_under_way=owner is not None)
        except (ProtocolError, LedgerUnavailableError) as error:
            self._log.warning("a media socket was refused: %s", error)
            await close(websocket, POLICY_VIOLATION, "refused")
            await self._wait_for_another(websocket, ticket)
            return
        call_id = call.call_id or info.call_id
        carried = Carried(
            call_ending=ProviderCallEnding(
                provider, info.call_id or call_id, self._public_calls.transfer_address
            ),
            from_number=call.from_number,
            to_number=call.to_number,
            call_s=self._public_calls.settings.max_public_call_secs,
            tells_errors=False,
            public=True,
        )
        self._public_calls.begins(call_id, call.from_number or info.from_number or "", provider.name)
        try:
            if owner is not None:
                await self._calls.rejoining.pass_on(owner, websocket)
            else:
                await self._calls.take(websocket, info, carried)
        finally:
            # The call may continue on a second socket.
            if not self._calls.rejoining.is_under_way(info):
                self._public_calls.ends(call_id)

    async def _check_start(self, ticket: Ticket, info: CallInfo, *, is_under_way: bool) -> None:
        """Check that the start message belongs to the call that was answered."""
        provider, call = self._public_calls.providers[ticket.provider], ticket.call
        if info.provider != ticket.provider:
            raise ProtocolError(
                f"its token is for {provider.title}, but its start message is from {info.provider}"
            )
        if provider.same_call_id and call.call_id and info.call_id != call.call_id:
            raise ProtocolError("its token is for another call")
        if ticket.again and not (is_under_way or self._calls.rejoining.is_under_way(info)):
            raise ProtocolError("its token is used up: the call is over")
        if not call.call_id and (busy := await self._public_calls.admit_socket(info)):
            raise ProtocolError(busy)

    async def _wait_for_another(self, websocket: WebSocket, ticket: Ticket) -> None:
        """This socket was not the call's. Hang up the call unless its own socket comes."""
        if token := _token(websocket):
            self._public_calls.restore(token, ticket)
        await asyncio.sleep(GIVE_UP_S)
        with contextlib.suppress(LedgerUnavailableError):
            if ticket.call.call_id and await self._public_calls.has_sound(ticket.call.call_id):
                return
        await self._give_up(self._public_calls.providers[ticket.provider], ticket.call)

    async def _give_up(self, provider: Provider, call: CallFacts) -> None:
        """The call's media will not come: hang up, so that the caller is not left in silence."""
        self._public_calls.ends(call.call_id)
        try:
            if call.call_id:
                await provider.hang_up(call.call_id)
        except ProviderError as error:
            logger.warning("the call may still be open: hanging up failed: %s", error)


def _token(websocket: WebSocket) -> str:
    """The token: in the path; from Plivo in the query; in a header for calls dialled through Telnyx."""
    header = websocket.headers.get("x-telnyx-streaming-auth-token", "")
    return websocket.path_params.get("token") or websocket.query_params.get("token") or header


def _response(document: Document) -> Response:
    headers = {"retry-after": str(RETRY_AFTER_S)} if document.status == 503 else None
    return Response(document.text, document.status, headers, media_type=document.media_type)


class ProviderCallEnding:
    """Ends a provider's call.

    Args:
        provider: the call's provider.
        call_id: the provider's call id.
        document_url: returns the URL at which the provider can fetch the transfer's target.
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
        logger.info("transferring the caller to %s", masked(number))
        # In its own task: the bot's pipeline may end before the provider has answered.
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
