"""The local HTTP API: a FastAPI application, documented at `/openapi.json` and `/docs`.

It is imported at start if the run serves WebRTC, else on the first request, so that phone runs start without
FastAPI. All routes require a local client, or one that the settings allow, and the run's login key if it has
one. Media sockets, webhooks, the page's files and `/metrics` are not part of the API.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, APIKeyHeader

from runner.errors import ProtocolError, ProviderError, UsageError
from runner.providers import PROVIDERS
from runner.server import access
from runner.server.endpoints import api_models as models
from runner.server.endpoints import records
from runner.server.endpoints.api_models import HEADERS, render
from runner.server.endpoints.lazy import Lazy
from runner.server.host import (
    ApiError,
    DialOrder,
    Host,
    LedgerUnavailableError,
    PublicSideInfo,
    socket_origin,
)
from runner.sessions.admission import RETRY_AFTER_S
from runner.sessions.registry import TooManySessionsError
from runner.settings.parsing import parse_phone_number

if TYPE_CHECKING:
    from runner.server.endpoints.webrtc import WebRTCEndpoint

LONGEST_SENTENCE = 200
_JSON = (b"content-type", b"application/json")
_key_header = APIKeyHeader(name=access.HEADER, scheme_name="key", auto_error=False)
_key_cookie = APIKeyCookie(name=access.COOKIE, scheme_name="page", auto_error=False)

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def create_api(host: Host, webrtc: Lazy[WebRTCEndpoint]) -> FastAPI:
    """The API of this process. `webrtc` does the signaling and is imported when needed."""

    async def require_local(request: Request) -> None:
        """Only this machine, unless `--host` or `--https` opens the port to others."""
        loopback_only = access.is_loopback(host.settings.host)
        if refusal := access.refusal_of(request.scope, loopback_only, host.settings.allow_origins):
            raise HTTPException(403, refusal)

    async def require_key(
        request: Request,
        header: Annotated[str | None, Security(_key_header)],
        cookie: Annotated[str | None, Security(_key_cookie)],
    ) -> None:
        """Requires the run's login key, if it has one; `botrun` prints it with the address."""
        if host.login_key and not access.has_key(request.scope, host.login_key):
            raise HTTPException(401, access.REFUSAL)

    api = FastAPI(
        title="botrun",
        version=version("botrun"),
        description="Start calls of the running bot, and watch them.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(require_local), Depends(require_key)],
        responses={401: {"model": models.Detail}, 403: {"model": models.Detail}},
    )
    api.state.host = host
    api.router.redirect_slashes = False
    api.router.route_class = _Route
    for error in (ApiError, ProtocolError, TooManySessionsError, RequestValidationError):
        api.add_exception_handler(error, _refused)
    _add_start(api, host, webrtc)
    _add_offers(api, webrtc)
    _add_dial(api, host)
    records.add_records(api)

    @api.get("/status", response_model=models.RunStatus, tags=["run"])
    async def status() -> Any:
        """State of the run: how to reach the bot, the active calls and the latency."""
        return await host.describe()

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(api.openapi()), headers=HEADERS)

    return api


# ------------------------------------------------------------------ sessions


def _refusals(*status: int) -> dict[int | str, dict[str, Any]]:
    return {each: {"model": models.Refusal} for each in status}


def _add_start(api: FastAPI, host: Host, webrtc: Lazy[WebRTCEndpoint]) -> None:
    @api.post(
        "/start",
        response_model=models.Started,
        response_model_exclude_unset=True,
        responses=_refusals(400, 404, 503, 500, 502),
        tags=["sessions"],
    )
    async def start(request: Request, asked: models.Start = _NOTHING_ASKED) -> Any:
        """Announce a session. Returns how to join it."""
        host.sessions.check()
        fields = asked.model_dump(exclude_unset=True)
        name = _transport_of(host, fields)
        if name == "webrtc":
            return await (await webrtc.get()).start(request, fields)
        if name in PROVIDERS and name in host.transports:
            return {"wsUrl": f"{socket_origin(request)}/ws"}  # the bot starts when the provider connects
        if name not in host.starters:
            phones = PROVIDERS.keys() & host.transports
            known = ", ".join(sorted({"webrtc", *host.starters, *phones}))
            raise ApiError(400, f"transport must be one of {known}, not {name[:40]!r}")
        return await host.starters[name](request, fields)


def _add_offers(api: FastAPI, webrtc: Lazy[WebRTCEndpoint]) -> None:
    async def offer(request: Request, asked: models.Offer = _NO_OFFER) -> Any:
        """Offer a call, or renegotiate one. The bot starts when the offer is answered."""
        return await (await webrtc.get()).offer(request, asked.model_dump(exclude_unset=True))

    async def trickle(asked: models.Candidates = _NO_CANDIDATES) -> Any:
        """Add ICE candidates that were found after the offer."""
        return await (await webrtc.get()).trickle(asked.model_dump(exclude_unset=True))

    async def offer_announced(session_id: str, request: Request, asked: models.Offer = _NO_OFFER) -> Any:
        """The same as `POST /api/offer`, for a session that `/start` announced."""
        return await offer(request, asked)

    async def trickle_announced(session_id: str, asked: models.Candidates = _NO_CANDIDATES) -> Any:
        """The same as `PATCH /api/offer`."""
        return await trickle(asked)

    for path, offered, trickled in (
        ("/api/offer", offer, trickle),
        ("/sessions/{session_id}/api/offer", offer_announced, trickle_announced),
    ):
        api.post(
            path,
            response_model=models.Answer,
            response_model_exclude_unset=True,
            responses=_refusals(400, 404, 503),
            tags=["sessions"],
        )(offered)
        refusals = _refusals(400, 404, 503)
        api.patch(path, response_model=models.Status, responses=refusals, tags=["sessions"])(trickled)


def _transport_of(host: Host, asked: dict[str, Any]) -> str:
    """The transport of a `/start`: the named one, Daily if it has Daily's fields, else the run's first."""
    if asked.get("transport"):
        return str(asked["transport"])
    if asked.get("createDailyRoom") or asked.get("dailyRoomProperties"):
        return "daily" if "daily" in host.starters else "webrtc"
    first = host.transports[0] if host.transports else "webrtc"
    return first if first in host.starters else "webrtc"


# ------------------------------------------------------------------ calls that the bot makes


async def public_side(
    request: Request, header: Annotated[str | None, Security(_key_header)]
) -> PublicSideInfo:
    """Requires the key itself, not the page's cookie, because calling out costs money."""
    host: Host = request.app.state.host
    if host.public_calls is None:
        raise HTTPException(409, "this run has no public address: start it with --tunnel or --proxy HOST")
    if not secrets.compare_digest((header or "").encode(), host.public_calls.dial_key.encode()):
        raise HTTPException(403, f"calling out needs the run's key in the header {access.HEADER}")
    return host.public_calls


PublicSide = Annotated[PublicSideInfo, Depends(public_side)]


def _add_dial(api: FastAPI, host: Host) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": models.Detail} for status in (400, 403, 404, 409, 502, 503)
    }

    @api.post("/dial", response_model=models.Dialled, responses=refusals, tags=["dial"])
    async def dial(asked: models.Dial, calls: PublicSide) -> Any:
        """Make the bot call a number."""
        try:
            return {"call_id": await calls.dial(_order(host, calls, asked))}
        except LedgerUnavailableError as error:
            raise HTTPException(503, str(error)) from None
        except UsageError as error:
            raise HTTPException(400, str(error)) from None
        except ProviderError as error:
            raise HTTPException(502, str(error)) from None

    @api.get("/dial/{call_id}", response_model=models.DialState, responses=refusals, tags=["dial"])
    async def state(call_id: str, calls: PublicSide) -> Any:
        """State of a call that the bot made."""
        try:
            word, is_over = await calls.dialled(call_id)
        except LedgerUnavailableError as error:
            raise HTTPException(503, str(error)) from None
        if not word:
            raise HTTPException(404, "no such call was made")
        return {"state": word, "over": is_over}


def _order(host: Host, calls: PublicSideInfo, asked: models.Dial) -> DialOrder:
    provider = calls.providers.get(asked.provider)
    if provider is None:
        name = asked.provider[:20]
        raise UsageError(f"this run does not serve {name!r}: start it with -t {name}")
    if missing := provider.missing_keys(provider.rest_keys, provider.dial_keys):
        raise UsageError(f"calling out needs {', '.join(missing)}: set it in the environment or in .env")
    caller = asked.from_number or host.settings.number or ""
    if not caller:
        raise UsageError("no number to call from: give --from +1…, or run the bot with --number")
    return DialOrder(
        provider=provider.name,
        to=parse_phone_number(asked.to),
        from_number=parse_phone_number(caller),
        limit_s=asked.limit_s,
        ring_s=asked.ring_s,
        detect_voicemail=asked.detect_voicemail,
    )


# ------------------------------------------------------------------ refusals


_NOTHING_ASKED = models.Start.model_validate({})
_NO_OFFER = models.Offer.model_validate({})
_NO_CANDIDATES = models.Candidates.model_validate({})
_STATUS = {ProtocolError: 400, TooManySessionsError: 503, RequestValidationError: 400}


class _Route(APIRoute):
    """Reads each body as JSON, whatever its content type: `curl -d` names another."""

    def get_route_handler(self) -> _Handler:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            body = await request.body()  # raises the errors of `BodyLimit`
            headers = [pair for pair in request.scope["headers"] if pair[0] != _JSON[0]]
            as_json = Request({**request.scope, "headers": [*headers, _JSON]}, request.receive)
            as_json._body = body
            try:
                as_json._json = json.loads(body or b"{}")
            except (ValueError, RecursionError):  # deep nesting raises no ValueError
                raise ProtocolError("the body is not JSON") from None
            if b"\\ud" in body.lower():  # only an escape can contain a lone surrogate
                _check_whole_characters(as_json._json)
            return await handle(as_json)

        return handle_json


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """One sentence: as `detail` for `/dial`, as `error` for routes that Pipecat's clients use."""
    status = error.status if isinstance(error, ApiError) else _STATUS[_kind_of(error)]
    sentence = _sentence(error) if isinstance(error, RequestValidationError) else str(error)
    key = "detail" if request.url.path.rpartition("/dial")[1] else "error"
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({key: sentence[:LONGEST_SENTENCE]}, status, headers)


def _kind_of(error: Exception) -> type[Exception]:
    return next(kind for kind in _STATUS if isinstance(error, kind))


def _check_whole_characters(value: Any) -> None:
    """Raises `ProtocolError` for text that cannot be logged or sent."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ProtocolError("the body holds half a character (a lone surrogate)") from None


def _sentence(error: RequestValidationError) -> str:
    """What is wrong with the body, such as "limit_s must be greater than or equal to 10"."""
    found = []
    for one in error.errors():
        name = ".".join(map(str, one["loc"][1:]))
        if not name:
            return "the body must be a JSON object"
        found.append(f"{name} {_fault(one)}")
    return "; ".join(found)


def _fault(error: dict[str, Any]) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "too_long":
        return f"must have at most {error['ctx']['max_length']} items"
    return f"must be {error['msg'].removeprefix('Input should be ')}"
