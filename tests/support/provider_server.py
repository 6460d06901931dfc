"""The providers' REST interfaces, from the fact sheet alone (PROTOCOLS.md §1-4), with faults on order.

Strict: the right login, the right form of body, known calls and numbers; everything else is refused as the
provider would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from public_world import CALLED, KEYS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.server.wire.uvicorn_server import Server

BEFORE = "https://before.example/voice"


@dataclass
class Asked:
    """One request that was carried out or refused."""

    method: str
    path: str
    fields: dict[str, Any]
    status: int


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{KEYS[user]}:{KEYS[password]}".encode()).decode()


LOGINS = {
    "twilio": _basic("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    "telnyx": f"Bearer {KEYS['TELNYX_API_KEY']}",
    "plivo": _basic("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN"),
    "exotel": _basic("EXOTEL_API_KEY", "EXOTEL_API_TOKEN"),
}


@dataclass
class ProviderServer:
    """All four providers, distinguished by path. `faults` apply to the next requests: "404", "429", "500",
    "hang", "garbage" (200 with no JSON in it), "drop" (the connection breaks)."""

    url: str = ""
    calls: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    number: dict[str, str] = field(
        default_factory=lambda: {
            "sid": "PN1",
            "phone_number": CALLED,
            "voice_url": BEFORE,
            "voice_method": "GET",
            "voice_application_sid": "AP9",
            "trunk_sid": "",
        }
    )
    application: dict[str, str] = field(
        default_factory=lambda: {"friendly_name": "mine", "voice_url": BEFORE, "voice_method": "get"}
    )
    plivo_application: dict[str, str] = field(
        default_factory=lambda: {"answer_url": BEFORE, "answer_method": "GET"}
    )

    def address(self, provider: str) -> str:
        """What the number asks now."""
        facts = {"twilio": self.number, "telnyx": self.application, "plivo": self.plivo_application}[provider]
        return facts.get("voice_url") or facts.get("answer_url") or ""

    async def handle(self, request: Request) -> Response:
        if "json" in request.headers.get("content-type", ""):
            fields = await request.json()
        else:
            from urllib.parse import parse_qsl

            fields = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        answer = await self._answer(request, fields)
        raw = request.scope["raw_path"].decode()
        self.asked.append(Asked(request.method, raw, fields, answer.status_code))
        return answer

    async def _answer(self, request: Request, fields: dict[str, Any]) -> Response:
        path: str = request.scope["path"]
        provider = _provider_of(path)
        if self.faults:
            match self.faults.popleft():
                case "hang":
                    await asyncio.sleep(30)
                case "garbage":
                    return Response(b"\x00<html>not json", 200)
                case "429":
                    return Response("slow down", 429, headers={"retry-after": "1"})
                case "ok":
                    pass
                case status:
                    return JSONResponse(_not_found(provider), int(status))
        if request.headers.get("authorization") != LOGINS[provider]:
            return JSONResponse({"message": "Authenticate"}, 401)
        handler = getattr(self, f"_{provider}")
        answer: Response = handler(request, path, fields)
        return answer

    # ------------------------------------------------------------ one each

    def _twilio(self, request: Request, path: str, fields: dict[str, Any]) -> Response:
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if request.method == "POST" and not is_form:
            return JSONResponse({"code": 20001, "message": "form wanted"}, 400)
        head, _, rest = path.partition(f"/Accounts/{KEYS['TWILIO_ACCOUNT_SID']}")
        if head != "/2010-04-01" or not rest.endswith(".json"):
            return JSONResponse(_not_found("twilio"), 404)
        rest = rest.removesuffix(".json")
        if rest == "":
            return JSONResponse({"friendly_name": "Test", "status": "active"})
        if rest == "/Calls":
            return self._dialled(fields, {"To", "From", "Url"}, {"sid": "CA-out", "status": "queued"})
        if rest.startswith("/Calls/"):
            return self._changed(rest.rpartition("/")[2], fields.get("Status") or "transferred", "twilio")
        if rest == "/IncomingPhoneNumbers":
            wanted = request.query_params.get("PhoneNumber")
            found = [self.number] if wanted == self.number["phone_number"] else []
            return JSONResponse({"incoming_phone_numbers": found})
        if rest == "/IncomingPhoneNumbers/PN1":
            names = {"VoiceUrl": "voice_url", "VoiceMethod": "voice_method"}
            names |= {"VoiceApplicationSid": "voice_application_sid", "TrunkSid": "trunk_sid"}
            self.number |= {names[name]: value for name, value in fields.items()}
            return JSONResponse(self.number)
        return JSONResponse(_not_found("twilio"), 404)

    def _telnyx(self, request: Request, path: str, fields: dict[str, Any]) -> Response:
        path = path.removeprefix("/v2")
        if path == "/balance":
            return JSONResponse({"data": {"balance": "12.3", "currency": "USD"}})
        if path == "/calls":
            return self._dialled(
                fields, {"connection_id", "to", "from"}, {"data": {"call_control_id": "v3:out"}}
            )
        if path.startswith("/calls/"):
            _, _, call_id, _, action = path.split("/")
            return self._changed(call_id, action, "telnyx")
        if path == "/phone_numbers":
            wanted = request.query_params.get("filter[phone_number]")
            found = [{"phone_number": CALLED, "connection_id": "app1"}] if wanted == CALLED else []
            return JSONResponse({"data": found})
        if path == "/texml_applications/app1":
            if request.method == "PATCH":
                self.application |= fields
            return JSONResponse({"data": self.application})
        return JSONResponse(_not_found("telnyx"), 404)

    def _plivo(self, request: Request, path: str, fields: dict[str, Any]) -> Response:
        rest = path.removeprefix(f"/v1/Account/{KEYS['PLIVO_AUTH_ID']}/")
        if rest == "":
            return JSONResponse({"name": "Test", "cash_credits": "9.5"})
        if rest == "Call/":
            wanted = {"from", "to", "answer_url", "answer_method"}
            return self._dialled(fields, wanted, {"request_uuid": "plivo-out"})
        if rest.startswith("Call/"):
            word = "hangup" if request.method == "DELETE" else "transferred"
            return self._changed(rest.split("/")[1], word, "plivo", 204 if word == "hangup" else 202)
        if rest == f"Number/{CALLED[1:]}/":
            return JSONResponse({"application": f"/v1/Account/{KEYS['PLIVO_AUTH_ID']}/Application/77/"})
        if rest == "Application/77/":
            if request.method == "POST":
                self.plivo_application |= fields
            return JSONResponse(self.plivo_application)
        return JSONResponse(_not_found("plivo"), 404)

    def _exotel(self, request: Request, path: str, fields: dict[str, Any]) -> Response:
        if path == "/v1/Accounts/exo1.json":
            return JSONResponse({"Account": {"Sid": "exo1"}})
        if path == "/v1/accounts/exo1/calls/connect":
            wanted = {"from", "callerid", "streamurl", "streamtype"}
            return self._dialled(fields, wanted, {"Call": {"Sid": "exo-out"}})
        return JSONResponse(_not_found("exotel"), 404)

    # ------------------------------------------------------------ all

    def _dialled(self, fields: dict[str, Any], wanted: set[str], message: dict[str, Any]) -> Response:
        if missing := wanted - set(fields):
            return JSONResponse({"message": f"missing {sorted(missing)}"}, 400)
        call_id = next(str(v) for v in [*message.values(), *_inner(message)] if isinstance(v, str))
        self.calls[call_id] = "ringing"
        return JSONResponse(message, 201)

    def _changed(self, call_id: str, state: str, provider: str, status: int = 200) -> Response:
        if self.calls.get(call_id) not in ("ringing", "talking", "answer"):
            return JSONResponse(_not_found(provider), 422 if provider == "telnyx" else 404)
        self.calls[call_id] = state
        return Response(status_code=204) if status == 204 else JSONResponse({"ok": True}, status)


def _inner(message: dict[str, Any]) -> list[Any]:
    return [inner for value in message.values() if isinstance(value, dict) for inner in value.values()]


def _provider_of(path: str) -> str:
    for head, name in (("/2010-", "twilio"), ("/v2/", "telnyx"), ("/v1/Account/", "plivo")):
        if path.startswith(head):
            return name
    return "exotel"


def _not_found(provider: str) -> dict[str, Any]:
    return {
        "twilio": {"code": 20404, "message": "The requested resource was not found"},
        "telnyx": {"errors": [{"code": "90018", "detail": "Call has already ended"}]},
        "plivo": {"error": "not found"},
        "exotel": {"RestException": {"Message": "no such thing"}},
    }[provider]


API = {"twilio": "", "telnyx": "/v2", "plivo": "/v1", "exotel": ""}


@contextlib.asynccontextmanager
async def provider_server() -> AsyncIterator[ProviderServer]:
    """Served on this machine; `url` is its address."""
    state = ProviderServer()
    methods = ["GET", "POST", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", state.handle, methods=methods)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with Server(app).serving(listener, 0.2):
            yield state
