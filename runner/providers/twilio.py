"""Twilio (PROTOCOLS.md §1): signatures, TwiML, calls and numbers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

from runner.errors import ProviderError, UsageError
from runner.providers.base import DialRequest, Provider, masked
from runner.providers.rest import text_at
from runner.providers.webhooks import (
    CallFacts,
    Document,
    MediaSocket,
    RefusedError,
    WebRequest,
    as_base64,
    attribute,
    does_not_fit,
    numbers,
    parameters,
    response,
    same,
    text,
)

PARAMETER_CHARACTERS = 500
_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_ALGORITHMS = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
_GONE = 20404


def sign(key: str, url: str, fields: Iterable[tuple[str, str]], algorithm: str = "HMAC_SHA1") -> str:
    """`X-Twilio-Signature`: signs the URL, then each field's name and distinct values, sorted."""
    signed = url
    for name, pairs in groupby(sorted(set(fields)), key=lambda pair: pair[0]):
        signed += "".join(name + value for _, value in pairs)
    digest = hmac.new(key.encode(), signed.encode("utf-8", "surrogatepass"), _ALGORITHMS[algorithm])
    return as_base64(digest.digest())


def with_and_without_port(url: str) -> set[str]:
    """The URL's two forms: Twilio signs it with or without the default port."""
    parts = urlsplit(url)
    usual = _DEFAULT_PORTS.get(parts.scheme)
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    found = {url}
    if parts.port is None:
        found.add(urlunsplit(parts._replace(netloc=f"{host}:{usual}")))
    elif parts.port == usual:
        found.add(urlunsplit(parts._replace(netloc=host)))
    return found


class Twilio(Provider):
    """One Twilio account. `api` may be a region's: https://api.<edge>.<region>.twilio.com."""

    name = "twilio"
    title = "Twilio"
    signing_keys: ClassVar[tuple[str, ...]] = ("TWILIO_AUTH_TOKEN",)
    rest_keys: ClassVar[tuple[str, ...]] = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
    other_keys: ClassVar[tuple[str, ...]] = ("TWILIO_SIGNING_SECRET",)
    usual_api = "https://api.twilio.com"

    def _login(self) -> dict[str, Any]:
        return {"basic": (self._keys.get("TWILIO_ACCOUNT_SID", ""), self._keys.get("TWILIO_AUTH_TOKEN", ""))}

    # ------------------------------------------------------------ authentication

    def check_request(self, request: WebRequest, now: float) -> None:
        fields: list[tuple[str, str]] = []
        if request.method != "GET":
            fields = request.form
            if request.body and not request.is_form:
                self._check_body_hash(request)
        self._check(request, fields)

    def check_socket(self, request: WebRequest) -> None:
        # The wss URL exactly as in the TwiML, without parameters (twilio-labs/twilio-aspnet#162).
        self._check(request, [])

    def _check(self, request: WebRequest, fields: list[tuple[str, str]]) -> None:
        theirs = request.header("x-twilio-signature")
        algorithm, key_name = self._algorithm(request)
        key = self.key(key_name)
        ours = [sign(key, url, fields, algorithm) for url in with_and_without_port(request.url)]
        if not any(same(signature, theirs) for signature in ours):
            raise does_not_fit(request, key_name)

    def _algorithm(self, request: WebRequest) -> tuple[str, str]:
        """SHA-1 with the auth token, unless the settings header names another."""
        header = request.headers.get("x-twilio-webhooks-signature-settings", "")
        settings = dict(part.strip().partition("=")[::2] for part in header.split(",") if part.strip())
        algorithm = settings.get("algorithm", "HMAC_SHA1")
        if algorithm not in _ALGORITHMS:
            raise RefusedError(
                f"its signature algorithm {algorithm[:30]!r} is unknown; use HMAC_SHA1 or HMAC_SHA256"
            )
        shared = algorithm == "HMAC_SHA256" and self._keys.get("TWILIO_SIGNING_SECRET")
        return algorithm, "TWILIO_SIGNING_SECRET" if shared else "TWILIO_AUTH_TOKEN"

    def _check_body_hash(self, request: WebRequest) -> None:
        theirs = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])
        if not same(hashlib.sha256(request.body).hexdigest(), theirs[-1]):
            raise RefusedError("its body is not a form, and does not match bodySHA256 in its URL")

    # ------------------------------------------------------------ webhooks

    def read_call(self, request: WebRequest) -> CallFacts:
        fields = request.fields
        found = fields.get("AnsweredBy", "")
        return CallFacts(
            call_id=fields.get("CallSid", ""),
            from_number=fields.get("From", ""),
            to_number=fields.get("To", ""),
            outbound=fields.get("Direction", "").startswith("outbound"),
            # machine_start, machine_end_beep, …, fax; "unknown" may be a person.
            answered_by="machine" if found.startswith(("machine", "fax")) else found,
        )

    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        # Twilio does not support a query in this URL; the token goes into the path.
        passed = parameters(numbers(call), PARAMETER_CHARACTERS)
        return response(f'<Connect><Stream url="{attribute(socket.in_path)}">{passed}</Stream></Connect>')

    def busy(self) -> Document:
        return response('<Reject reason="busy" />')

    def end(self) -> Document:
        return response("<Hangup />")

    # ------------------------------------------------------------ calls

    def _account(self, path: str) -> str:
        return f"/2010-04-01/Accounts/{quote(self.key('TWILIO_ACCOUNT_SID'), safe='')}{path}.json"

    async def hang_up(self, call_id: str) -> None:
        path = self._account(f"/Calls/{quote(call_id, safe='')}")
        await self.rest.call("POST", path, form={"Status": "completed"}, gone=_is_gone)

    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        path = self._account(f"/Calls/{quote(call_id, safe='')}")
        twiml = response(f"<Dial>{text(to)}</Dial>").text
        await self.rest.call("POST", path, form={"Twiml": twiml})

    async def dial(self, request: DialRequest) -> str:
        form = {
            "To": request.to,
            "From": request.from_number,
            "Url": f"{request.public}/twilio/answer",
            "StatusCallback": f"{request.public}/twilio/status",
            "TimeLimit": str(request.limit_s),
            "Timeout": str(request.ring_s),
        }
        if request.detect_voicemail:
            form["MachineDetection"] = "Enable"
        answer = await self.rest.call("POST", self._account("/Calls"), form=form, repeatable=False)
        if not (call_id := text_at(answer, "sid")):
            raise ProviderError(self.title, "its answer to the dial request has no call id")
        return call_id

    async def check_account(self) -> str:
        answer = await self.rest.call("GET", self._account(""))
        return f"account {text_at(answer, 'friendly_name') or '?'}, {text_at(answer, 'status') or '?'}"

    # ------------------------------------------------------------ numbers

    async def number_state(self, number: str) -> dict[str, str]:
        found = await self.rest.call(
            "GET", self._account("/IncomingPhoneNumbers"), query={"PhoneNumber": number}
        )
        listed = found.get("incoming_phone_numbers")
        mine = [n for n in listed or [] if isinstance(n, dict) and n.get("phone_number") == number]
        if not mine:
            raise UsageError(f"--number: this Twilio account has no number {masked(number)}")
        names = ("sid", "voice_url", "voice_method", "voice_application_sid", "trunk_sid")
        return {name: text_at(mine[0], name) for name in names}

    async def point_number(self, state: Mapping[str, str], url: str) -> None:
        # An application or a trunk would take precedence over the URL.
        await self._set_number(state, url, "POST", application="", trunk="")

    async def restore_number(self, state: Mapping[str, str]) -> None:
        await self._set_number(
            state,
            state["voice_url"],
            state["voice_method"] or "POST",
            application=state["voice_application_sid"],
            trunk=state["trunk_sid"],
        )

    async def _set_number(
        self, state: Mapping[str, str], url: str, method: str, *, application: str, trunk: str
    ) -> None:
        form = {"VoiceUrl": url, "VoiceMethod": method, "VoiceApplicationSid": application}
        if state["trunk_sid"]:
            form["TrunkSid"] = trunk
        path = self._account(f"/IncomingPhoneNumbers/{quote(state['sid'], safe='')}")
        await self.rest.call("POST", path, form=form)


def _is_gone(status: int, answer: Mapping[str, Any]) -> bool:
    return status == 404 and answer.get("code") in (_GONE, str(_GONE), None)
