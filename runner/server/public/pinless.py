"""Daily's dial-in webhook on the public address: creates a room with a bot for the waiting caller.

The bot's transport connects the caller as soon as the room accepts phones (`pinlessCallUpdate`).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runner.errors import BotrunError
from runner.logs import ThrottledLog
from runner.providers.daily import SECRET, WaitingCall, check_pinless, is_test, read_waiting_call
from runner.providers.webhooks import RefusedError
from runner.server.daily.rooms import DailyRooms, RoomAsk
from runner.server.host import LedgerUnavailableError
from runner.server.public.address import DIAL_IN
from runner.server.public.public_calls import PublicCalls, webhook_of
from runner.server.wire.connection_limits import verify
from runner.sessions.admission import RETRY_AFTER_S
from runner.settings import read_keys

if TYPE_CHECKING:
    from runner.sessions.session import Session

logger = logging.getLogger(__name__)

PATHS = (DIAL_IN, "/daily-dialin-webhook")
"""The second is Pipecat's path."""


class PinlessEndpoint:
    """Handles callers who are waiting at Daily.

    Args:
        public_calls: the public side, whose limits also apply to them.
        rooms: creates their rooms.
    """

    def __init__(self, public_calls: PublicCalls, rooms: DailyRooms) -> None:
        self._public_calls = public_calls
        self._rooms = rooms
        self._log = ThrottledLog(logger)

    async def ring(self, request: Request) -> Response:
        """A caller is waiting, or Daily tests the address."""
        try:
            web = await webhook_of(request, self._public_calls.origin)
            if is_test(web):
                return JSONResponse({"status": "OK"})
            secret = self._public_calls.address.keys.get(SECRET) or read_keys([SECRET]).get(SECRET, "")
            self._public_calls.check(lambda: check_pinless(web, _there(secret), time.time()))
            verify(request.scope)
            return await self._take(read_waiting_call(web))
        except RefusedError as error:
            self._log.warning("a Daily webhook was refused: %s", error)
            return Response("refused\n", 403, media_type="text/plain")
        except LedgerUnavailableError as error:
            self._log.warning("a Daily webhook could not be answered: %s", error)
            return Response("not ready\n", 503, media_type="text/plain")

    async def _take(self, call: WaitingCall) -> Response:
        event = f"daily:{call.call_id}"
        if not await self._public_calls.is_news(event):
            return JSONResponse({"status": "OK"})
        if reason := await self._public_calls.admit_caller(call.call_id, call.from_number, call.to_number):
            self._public_calls.came_to_nothing(event)
            self._log.warning("a caller was refused: %s", reason)
            retry = {"retry-after": str(RETRY_AFTER_S)}
            return Response("busy\n", 503, retry, media_type="text/plain")
        try:
            opened = await self._rooms.open(
                _ask(call),
                lambda _: self._public_calls.ends(call.call_id),
                self._public_calls.settings.max_public_call_secs,
            )
        except BotrunError as error:
            self._public_calls.came_to_nothing(event)
            self._public_calls.ends(call.call_id)
            logger.warning("no room for a caller: %s", error)
            return Response("not ready\n", 503, media_type="text/plain")
        self._public_calls.begins(call.call_id, call.from_number)
        return _session_answer(opened.session)


def _there(secret: str) -> str:
    if not secret:
        raise RefusedError(f"{SECRET} is not set, so its signature cannot be checked")
    return secret


def _ask(call: WaitingCall) -> RoomAsk:
    """A room with `dialin_settings` as Pipecat's bots expect them."""
    settings = {
        "call_id": call.call_id,
        "call_domain": call.call_domain,
        "From": call.from_number,
        "To": call.to_number,
        "sip_headers": dict(call.sip_headers),
    }
    shown_as = call.from_number or "dial-in"
    return RoomAsk(body={"dialin_settings": settings}, dial_in=True, shown_as=shown_as, public=True)


def _session_answer(session: Session) -> Response:
    return JSONResponse({"sessionId": session.id})
