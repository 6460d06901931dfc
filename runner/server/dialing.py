"""`POST /dial` on the main port: the running bot calls somebody. For `botrun dial`, with the run's key."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, HTTPException
from pydantic import BaseModel, Field

from runner.errors import ProviderError, UsageError
from runner.server.public.desk import AwayError
from runner.server.public.exchange import DialOrder, Exchange
from runner.values import parse_phone_number

if TYPE_CHECKING:
    from runner.server.app import Host

LONGEST_S = 14_400

_Key = Annotated[str, Header(alias="x-botrun-key")]


class DialBody(BaseModel):
    """What `botrun dial` asks for. Durations in seconds."""

    provider: str
    to: str
    from_number: str = ""
    limit_s: int = Field(600, ge=10, le=LONGEST_S)
    ring_s: int = Field(30, ge=5, le=120)
    detect_voicemail: bool = True


def dial_router(host: Host) -> APIRouter:
    """`POST /dial` and `GET /dial/{call}`."""
    router = APIRouter()

    @router.post("/dial")
    async def dial(body: DialBody, key: _Key = "") -> dict[str, Any]:
        exchange = _exchange(host, key)
        try:
            call_id = await exchange.dial(_order(host, exchange, body))
        except AwayError as error:
            raise HTTPException(503, str(error)) from None
        except UsageError as error:
            raise HTTPException(400, str(error)) from None
        except ProviderError as error:
            raise HTTPException(502, str(error)) from None
        return {"call_id": call_id}

    @router.get("/dial/{call_id}")
    async def state(call_id: str, key: _Key = "") -> dict[str, Any]:
        exchange = _exchange(host, key)
        try:
            word, is_over = await exchange.dialled(call_id)
        except AwayError as error:
            raise HTTPException(503, str(error)) from None
        if not word:
            raise HTTPException(404, "no such call was made")
        return {"state": word, "over": is_over}

    return router


def _exchange(host: Host, key: str) -> Exchange:
    if host.exchange is None:
        raise HTTPException(409, "this run has no public address: start it with --tunnel or --proxy HOST")
    if not secrets.compare_digest(key.encode(), host.exchange.dial_key.encode()):
        raise HTTPException(403, "only who started this run may call out with it")
    return host.exchange


def _order(host: Host, exchange: Exchange, body: DialBody) -> DialOrder:
    provider = exchange.providers.get(body.provider)
    if provider is None:
        raise UsageError(
            f"this run does not serve {body.provider[:20]!r}: start it with -t {body.provider[:20]}"
        )
    if missing := provider.missing_keys(provider.rest_keys, provider.dial_keys):
        raise UsageError(f"calling out needs {', '.join(missing)}")
    caller = body.from_number or host.settings.number or ""
    if not caller:
        raise UsageError("which of your numbers shall call? --from +1…, or run the bot with --number")
    return DialOrder(
        provider=provider.name,
        to=parse_phone_number(body.to),
        from_number=parse_phone_number(caller),
        limit_s=body.limit_s,
        ring_s=body.ring_s,
        detect_voicemail=body.detect_voicemail,
    )
