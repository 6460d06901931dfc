"""`POST /dial` on the main port: the running bot calls somebody. For `botrun dial`, with the run's key."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from runner.errors import ProtocolError, ProviderError, UsageError
from runner.server.endpoints.start import read_object
from runner.server.host import DialOrder, Host, LedgerUnavailableError, PublicSideInfo
from runner.settings.parsing import parse_phone_number

LIMIT_S, RING_S = (10, 600, 14_400), (5, 30, 120)
"""How long a call, and its ringing, may last (s): at least, if nothing is said, at most."""


def dial_router(host: Host) -> Router:
    """`POST /dial` and `GET /dial/{call}`."""

    async def dial(request: Request) -> JSONResponse:
        public_calls = _public_calls(host, request)
        try:
            call_id = await public_calls.dial(_order(host, public_calls, await read_object(request)))
        except LedgerUnavailableError as error:
            raise HTTPException(503, str(error)) from None
        except (UsageError, ProtocolError) as error:
            raise HTTPException(400, str(error)) from None
        except ProviderError as error:
            raise HTTPException(502, str(error)) from None
        return JSONResponse({"call_id": call_id})

    async def state(request: Request) -> JSONResponse:
        public_calls, call_id = _public_calls(host, request), request.path_params["call_id"]
        try:
            word, is_over = await public_calls.dialled(call_id)
        except LedgerUnavailableError as error:
            raise HTTPException(503, str(error)) from None
        if not word:
            raise HTTPException(404, "no such call was made")
        return JSONResponse({"state": word, "over": is_over})

    return Router([Route("/dial", dial, methods=["POST"]), Route("/dial/{call_id}", state)])


def _public_calls(host: Host, request: Request) -> PublicSideInfo:
    if host.public_calls is None:
        raise HTTPException(409, "this run has no public address: start it with --tunnel or --proxy HOST")
    key = request.headers.get("x-botrun-key", "")
    if not secrets.compare_digest(key.encode(), host.public_calls.dial_key.encode()):
        raise HTTPException(403, "only who started this run may call out with it")
    return host.public_calls


def _order(host: Host, public_calls: PublicSideInfo, asked: dict[str, Any]) -> DialOrder:
    name = _text(asked, "provider")
    provider = public_calls.providers.get(name)
    if provider is None:
        raise UsageError(f"this run does not serve {name[:20]!r}: start it with -t {name[:20]}")
    if missing := provider.missing_keys(provider.rest_keys, provider.dial_keys):
        raise UsageError(f"calling out needs {', '.join(missing)}")
    caller = _text(asked, "from_number") or host.settings.number or ""
    if not caller:
        raise UsageError("which of your numbers shall call? --from +1…, or run the bot with --number")
    return DialOrder(
        provider=provider.name,
        to=parse_phone_number(_text(asked, "to")),
        from_number=parse_phone_number(caller),
        limit_s=_seconds(asked, "limit_s", LIMIT_S),
        ring_s=_seconds(asked, "ring_s", RING_S),
        detect_voicemail=bool(asked.get("detect_voicemail", True)),
    )


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise ProtocolError(f"{name} must be a string")
    return value


def _seconds(asked: dict[str, Any], name: str, bounds: tuple[int, int, int]) -> int:
    least, usual, most = bounds
    value = asked.get(name, usual)
    if not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} must be a whole number of {least} to {most} seconds")
    return value
