"""Plivo (PROTOCOLS.md §3): signature V3, Plivo XML, calls and applications."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from runner.errors import ProviderError, UsageError
from runner.providers.base import DialRequest, Provider, masked
from runner.providers.rest import text_at
from runner.providers.webhooks import (
    CallFacts,
    Document,
    MediaSocket,
    WebRequest,
    as_base64,
    attribute,
    does_not_fit,
    response,
    same,
    text,
)

CONTENT_TYPE = "audio/x-mulaw;rate=8000"
EXTRA_HEADERS_BYTES = 512


def signed_text(method: str, url: str, fields: Iterable[tuple[str, str]], nonce: str) -> str:
    """What signature V3 signs. The bare `?` of a POST without query is what Plivo's SDK does."""
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    query = "&".join(f"{k}={v}" for k, v in sorted(parse_qsl(parts.query, keep_blank_values=True)))
    joined = "".join(name + value for name, value in sorted(fields))
    if method != "GET" and joined:
        base += f"?{query}.{joined}" if query else f"?{joined}"
    elif query:
        base += f"?{query}"
    return f"{base}.{nonce}"


def sign(token: str, method: str, url: str, fields: Iterable[tuple[str, str]], nonce: str) -> str:
    """`X-Plivo-Signature-V3`."""
    signed = signed_text(method.upper(), url, fields, nonce).encode("utf-8", "surrogatepass")
    return as_base64(hmac.new(token.encode(), signed, hashlib.sha256).digest())


class Plivo(Provider):
    """One Plivo account."""

    name = "plivo"
    title = "Plivo"
    signing_keys: ClassVar[tuple[str, ...]] = ("PLIVO_AUTH_TOKEN",)
    rest_keys: ClassVar[tuple[str, ...]] = ("PLIVO_AUTH_ID", "PLIVO_AUTH_TOKEN")
    usual_api = "https://api.plivo.com/v1"

    def _login(self) -> dict[str, Any]:
        return {"basic": (self._keys.get("PLIVO_AUTH_ID", ""), self._keys.get("PLIVO_AUTH_TOKEN", ""))}

    # ------------------------------------------------------------ authentication

    def check_request(self, request: WebRequest, now: float) -> None:
        nonce = request.header("x-plivo-signature-v3-nonce")
        theirs = request.header("x-plivo-signature-v3")
        fields = [] if request.method == "GET" else request.form
        ours = sign(self.key("PLIVO_AUTH_TOKEN"), request.method, request.url, fields, nonce)
        # The header may hold several signatures, separated by commas; one must match.
        if not any(same(ours, one.strip()) for one in theirs.split(",")):
            raise does_not_fit(request, "PLIVO_AUTH_TOKEN")

    # ------------------------------------------------------------ webhooks

    def read_call(self, request: WebRequest) -> CallFacts:
        fields = request.fields
        return CallFacts(
            call_id=fields.get("CallUUID", ""),
            from_number=_plus(fields.get("From", "")),
            to_number=_plus(fields.get("To", "")),
            outbound=fields.get("Direction", "") == "outbound",
            answered_by="machine" if fields.get("Machine", "").lower() == "true" else "",
        )

    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        # Only letters and digits are allowed: no plus.
        numbers = {"fromNumber": _digits(call.from_number), "toNumber": _digits(call.to_number)}
        extra = ",".join(f"{name}={value}" for name, value in numbers.items() if value)
        headers = f' extraHeaders="{attribute(extra)}"' if 0 < len(extra) <= EXTRA_HEADERS_BYTES else ""
        # Without keepCallAlive the call drops when the document ends.
        return response(
            f'<Stream bidirectional="true" keepCallAlive="true" contentType="{CONTENT_TYPE}"{headers}>'
            f"{text(socket.in_query)}</Stream>"
        )

    def busy(self) -> Document:
        return response('<Hangup reason="busy" />')

    def end(self) -> Document:
        return response("<Hangup />")

    def transfer_document(self, to: str) -> Document:
        return response(f"<Dial><Number>{text(to)}</Number></Dial>")

    # ------------------------------------------------------------ calls

    def _account(self, path: str) -> str:
        return f"/Account/{quote(self.key('PLIVO_AUTH_ID'), safe='')}/{path}"

    async def hang_up(self, call_id: str) -> None:
        path = self._account(f"Call/{quote(call_id, safe='')}/")
        await self.rest.call("DELETE", path, gone=lambda status, _: status == 404)

    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        path = self._account(f"Call/{quote(call_id, safe='')}/")
        body = {"legs": "aleg", "aleg_url": document_url, "aleg_method": "POST"}
        await self.rest.call("POST", path, body=body)

    async def dial(self, request: DialRequest) -> str:
        body = {
            "from": request.from_number,
            "to": request.to,
            "answer_url": f"{request.public}/plivo/answer",
            "answer_method": "POST",
            "hangup_url": f"{request.public}/plivo/status",
            "time_limit": request.limit_s,
            "ring_timeout": request.ring_s,
        }
        if request.detect_voicemail:
            body["machine_detection"] = "true"
        answer = await self.rest.call("POST", self._account("Call/"), body=body, repeatable=False)
        if not (call_id := text_at(answer, "request_uuid")):
            raise ProviderError(self.title, "its answer to the dial request has no call id")
        return call_id

    async def check_account(self) -> str:
        answer = await self.rest.call("GET", self._account(""))
        return f"account {text_at(answer, 'name') or '?'}, {text_at(answer, 'cash_credits') or '?'} credits"

    # ------------------------------------------------------------ numbers

    async def number_state(self, number: str) -> dict[str, str]:
        """The state of the number's application; all numbers of an application share its URL."""
        path = self._account(f"Number/{_digits(number)}/")
        try:
            answer = await self.rest.call("GET", path)
        except ProviderError as error:
            if error.status != 404:
                raise
            raise UsageError(f"--number: this Plivo account has no number {masked(number)}") from None
        # "/v1/Account/MA…/Application/<id>/"
        application = text_at(answer, "application").rstrip("/").rpartition("/")[2]
        if not application:
            raise UsageError(
                f"--number: {masked(number)} has no application: assign it one in Plivo's console"
            )
        answer = await self.rest.call("GET", self._account(f"Application/{quote(application, safe='')}/"))
        names = ("answer_url", "answer_method")
        return {"application": application, **{name: text_at(answer, name) for name in names}}

    async def point_number(self, state: Mapping[str, str], url: str) -> None:
        await self._set_application(state, url, "POST")

    async def restore_number(self, state: Mapping[str, str]) -> None:
        await self._set_application(state, state["answer_url"], state["answer_method"] or "POST")

    async def _set_application(self, state: Mapping[str, str], url: str, method: str) -> None:
        path = self._account(f"Application/{quote(state['application'], safe='')}/")
        await self.rest.call("POST", path, body={"answer_url": url, "answer_method": method})


def _digits(number: str) -> str:
    return re.sub("[^0-9]", "", number)


def _plus(number: str) -> str:
    """Plivo writes numbers without their plus."""
    return f"+{number}" if number.isdecimal() and len(number) > 6 else number
