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
        "in Exotel's App Bazaar, set the Voicebot applet's URL to https://USER:PASSWORD@HOST/exotel/answer"
        " (as in EXOTEL_WEBHOOK_AUTH), add a Hangup applet after it, and assign the flow to the number"
    )

    def _login(self) -> dict[str, Any]:
        return {"basic": (self._keys.get("EXOTEL_API_KEY", ""), self._keys.get("EXOTEL_API_TOKEN", ""))}

    def check_request(self, request: WebRequest, now: float) -> None:
        scheme, _, encoded = request.header("authorization").partition(" ")
        if scheme.lower() != "basic":
            raise RefusedError("its Authorization is not Basic: put USER:PASSWORD@ into the applet's URL")
        try:
            login = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise RefusedError("its Authorization header is not valid base64") from None
        if not same(self.key("EXOTEL_WEBHOOK_AUTH"), login):
            raise RefusedError("its user and password differ from EXOTEL_WEBHOOK_AUTH")

    def read_call(self, request: WebRequest) -> CallFacts:
        fields = request.fields
        return CallFacts(
            call_id=fields.get("CallSid", ""),
            from_number=fields.get("CallFrom", "") or fields.get("From", ""),
            to_number=fields.get("CallTo", "") or fields.get("To", ""),
            outbound=fields.get("Direction", "").startswith("outbound"),
        )

    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        # The numbers come with the start message.
        return json_document({"url": socket.in_path})

    def busy(self) -> Document:
        """Exotel has no busy answer; an error sends the caller to the flow's next applet."""
        return Document('{"error": "busy"}', "application/json", 503)

    def end(self) -> Document:
        return Document('{"error": "over"}', "application/json", 410)

    async def hang_up(self, call_id: str) -> None:
        """Does nothing: closing the socket sends the call to the flow's next applet, a Hangup."""

    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        """Does nothing: closing the socket sends the call to the flow's next applet, which must dial."""

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
        answer = await self.rest.call("POST", path, form=form, repeatable=False)
        # [?] The answer's shape is not documented; these are those of its older interfaces.
        call_id = (
            text_at(answer, "Call", "Sid")
            or text_at(answer, "call_sid")
            or text_at(answer, "data", "call_sid")
        )
        if not call_id:
            raise ProviderError(self.title, "its answer to the dial request has no call id")
        return call_id

    async def check_account(self) -> str:
        sid = quote(self.key("EXOTEL_ACCOUNT_SID"), safe="")
        await self.rest.call("GET", f"/v1/Accounts/{sid}.json")
        return "the keys are valid"
