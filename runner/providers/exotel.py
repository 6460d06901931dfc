"""Exotel (PROTOCOLS.md §4): basic auth instead of signatures, JSON instead of XML, no REST hang-up."""

from __future__ import annotations

import base64
import binascii
from typing import Any, ClassVar
from urllib.parse import quote

from runner.errors import ProviderError
from runner.providers.base import DialRequest, Provider
from runner.providers.rest import text_at
from runner.providers.webhooks import (
    CallFacts,
    Document,
    MediaSocket,
    RefusedError,
    WebRequest,
    json_document,
    same,
)

LONGEST_CALL_S = 14_400


class Exotel(Provider):
    """One Exotel account. `api` is https://api.exotel.com for the Singapore cluster."""

    name = "exotel"
    title = "Exotel"
    signing_keys: ClassVar[tuple[str, ...]] = ("EXOTEL_WEBHOOK_AUTH",)
    rest_keys: ClassVar[tuple[str, ...]] = ()
    dial_keys: ClassVar[tuple[str, ...]] = ("EXOTEL_ACCOUNT_SID", "EXOTEL_API_KEY", "EXOTEL_API_TOKEN")
    can_set_number = False
    usual_api = "https://api.in.exotel.com"
    by_hand = (
        "in its App Bazaar, give the Voicebot applet the address https://USER:PASSWORD@HOST/exotel/answer"
        " (as in EXOTEL_WEBHOOK_AUTH), put a Hangup applet behind it, and give the flow to the number"
    )

    def _login(self) -> dict[str, Any]:
        return {"basic": (self._keys.get("EXOTEL_API_KEY", ""), self._keys.get("EXOTEL_API_TOKEN", ""))}

    def check_request(self, request: WebRequest, now: float) -> None:
        scheme, _, told = request.header("authorization").partition(" ")
        if scheme.lower() != "basic":
            raise RefusedError("its Authorization is not Basic: the applet's address needs USER:PASSWORD@")
        try:
            login = base64.b64decode(told.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise RefusedError("its Authorization cannot be read") from None
        if not same(self.key("EXOTEL_WEBHOOK_AUTH"), login):
            raise RefusedError("its user and password are not those of EXOTEL_WEBHOOK_AUTH")

    def read_call(self, request: WebRequest) -> CallFacts:
        fields = request.fields
        return CallFacts(
            call_id=fields.get("CallSid", ""),
            from_number=fields.get("CallFrom", "") or fields.get("From", ""),
            to_number=fields.get("CallTo", "") or fields.get("To", ""),
            outbound=fields.get("Direction", "").startswith("outbound"),
        )

    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        # The start message tells the numbers.
        return json_document({"url": socket.in_path})

    def busy(self) -> Document:
        """There is no busy answer: a refusal sends the caller to the flow's next applet."""
        return Document('{"error": "busy"}', "application/json", 503)

    def end(self) -> Document:
        return Document('{"error": "over"}', "application/json", 410)

    async def hang_up(self, call_id: str) -> None:
        """Closing the socket is what ends the call: the flow goes on to its next applet, a Hangup."""

    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        """The same: the flow's next applet must be the one that connects the caller to a person."""

    async def dial(self, request: DialRequest) -> str:
        path = f"/v1/accounts/{quote(self.key('EXOTEL_ACCOUNT_SID'), safe='')}/calls/connect"
        form = {
            "from": request.to,
            "callerid": request.from_number,
            "streamurl": request.socket.in_path,
            "streamtype": "bidirectional",
            "timelimit": str(min(request.limit_s, LONGEST_CALL_S)),
            "statuscallback": f"{request.public}/exotel/status",
        }
        told = await self.rest.call("POST", path, form=form, repeatable=False)
        # [?] The shape of the answer was not to be had: both that its older interfaces use.
        call_id = (
            text_at(told, "Call", "Sid") or text_at(told, "call_sid") or text_at(told, "data", "call_sid")
        )
        if not call_id:
            raise ProviderError(self.title, "it answered the dial without a call's id")
        return call_id

    async def check_account(self) -> str:
        sid = quote(self.key("EXOTEL_ACCOUNT_SID"), safe="")
        await self.rest.call("GET", f"/v1/Accounts/{sid}.json")
        return "the keys fit the account"
