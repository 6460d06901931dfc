"""Telnyx (PROTOCOLS.md §2): Ed25519, TeXML, Call Control and TeXML applications."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from runner.errors import ProviderError, UsageError
from runner.providers.base import DialRequest, Event, Provider, masked
from runner.providers.rest import text_at
from runner.providers.webhooks import (
    CallFacts,
    Document,
    MediaSocket,
    RefusedError,
    WebRequest,
    attribute,
    does_not_fit,
    from_base64,
    numbers,
    parameters,
    response,
)

WINDOW_S = 300
PARAMETER_CHARACTERS = 500
_ENDED = "90018"


def check_signature(public_key: str, timestamp: str, signature: str, body: bytes) -> bool:
    """Ed25519 over the timestamp, `|` and the raw body."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    raw = from_base64(signature, "signature")
    try:
        key = Ed25519PublicKey.from_public_bytes(from_base64(public_key, "key (TELNYX_PUBLIC_KEY)"))
    except ValueError:
        raise RefusedError(
            "TELNYX_PUBLIC_KEY is not a public key: expected 44 characters of base64, ending in ="
        ) from None
    try:
        key.verify(raw, timestamp.encode() + b"|" + body)
    except InvalidSignature:
        return False
    return True


class Telnyx(Provider):
    """One Telnyx account."""

    name = "telnyx"
    title = "Telnyx"
    signing_keys: ClassVar[tuple[str, ...]] = ("TELNYX_PUBLIC_KEY",)
    rest_keys: ClassVar[tuple[str, ...]] = ("TELNYX_API_KEY",)
    dial_keys: ClassVar[tuple[str, ...]] = ("TELNYX_CONNECTION_ID",)
    same_call_id = False
    usual_api = "https://api.telnyx.com/v2"

    def _login(self) -> dict[str, Any]:
        return {"bearer": self._keys.get("TELNYX_API_KEY", "")}

    # ------------------------------------------------------------ authentication

    def check_request(self, request: WebRequest, now: float) -> None:
        signature = request.header("telnyx-signature-ed25519")
        timestamp = request.header("telnyx-timestamp")
        if not (timestamp.isascii() and timestamp.isdecimal()):
            raise RefusedError("its telnyx-timestamp is not a number")
        if abs(age := now - int(timestamp)) > WINDOW_S:
            where = "ago" if age > 0 else "in the future"
            raise RefusedError(
                f"its timestamp is {abs(age):.0f} s {where} (at most {WINDOW_S} s): this machine's clock"
                " is wrong, or this is a replay of an old request"
            )
        if not check_signature(self.key("TELNYX_PUBLIC_KEY"), timestamp, signature, request.body):
            raise does_not_fit(request, "TELNYX_PUBLIC_KEY")

    # ------------------------------------------------------------ webhooks

    def read_call(self, request: WebRequest) -> CallFacts:
        if payload := _payload(request):
            return _facts_of_event(payload)
        fields = request.fields
        return CallFacts(
            call_id=fields.get("CallSid", ""),
            from_number=fields.get("From", ""),
            to_number=fields.get("To", ""),
            outbound=fields.get("Direction", "").startswith("outbound"),
        )

    def answer(self, call: CallFacts, socket: MediaSocket) -> Document:
        passed = parameters(numbers(call), PARAMETER_CHARACTERS)
        # Without rtp mode Telnyx silently drops our sound (deepgram/deepclaw, pull request 8).
        stream = (
            f'<Stream url="{attribute(socket.in_path)}" bidirectionalMode="rtp" bidirectionalCodec="PCMU">'
        )
        return response(f"<Connect>{stream}{passed}</Stream></Connect>")

    def busy(self) -> Document:
        return response('<Reject reason="busy" />')

    def end(self) -> Document:
        return response("<Hangup />")

    # ------------------------------------------------------------ Call Control

    def event(self, request: WebRequest) -> Event | None:
        data = request.json.get("data")
        kind = text_at(data, "event_type") if isinstance(data, dict) else ""
        if not kind:
            return None
        rings = kind == "call.initiated" and text_at(_payload(request), "direction") == "incoming"
        return Event(kind, text_at(request.json, "data", "id"), rings)

    async def pick_up(self, call: CallFacts, socket: MediaSocket, event: Event) -> None:
        body = {**_stream(socket), **_command(event.event_id)}
        await self.rest.call("POST", _action(call.call_id, "answer"), body=body)

    async def turn_away(self, call: CallFacts, event: Event) -> None:
        body = {"cause": "USER_BUSY", **_command(event.event_id)}
        await self.rest.call("POST", _action(call.call_id, "reject"), body=body, gone=_has_ended)

    # ------------------------------------------------------------ calls

    async def hang_up(self, call_id: str) -> None:
        await self.rest.call("POST", _action(call_id, "hangup"), body=_command(), gone=_has_ended)

    async def transfer(self, call_id: str, to: str, document_url: str = "") -> None:
        await self.rest.call("POST", _action(call_id, "transfer"), body={"to": to, **_command()})

    async def dial(self, request: DialRequest) -> str:
        body = {
            "connection_id": self.key("TELNYX_CONNECTION_ID"),
            "to": request.to,
            "from": request.from_number,
            "webhook_url": f"{request.public}/telnyx/status",
            **_stream(request.socket),
            "time_limit_secs": request.limit_s,
            "timeout_secs": request.ring_s,
            **_command(),
        }
        if request.detect_voicemail:
            body["answering_machine_detection"] = "detect"
        answer = await self.rest.call("POST", "/calls", body=body, repeatable=False)
        if not (call_id := text_at(answer, "data", "call_control_id")):
            raise ProviderError(self.title, "the answer to the dial request has no call id")
        return call_id

    async def check_account(self) -> str:
        answer = await self.rest.call("GET", "/balance")
        return f"balance {text_at(answer, 'data', 'balance') or '?'} {text_at(answer, 'data', 'currency')}"

    # ------------------------------------------------------------ numbers

    async def number_state(self, number: str) -> dict[str, str]:
        """The state of the number's TeXML application; all its numbers share one URL."""
        found = await self.rest.call("GET", "/phone_numbers", query={"filter[phone_number]": number})
        listed = found.get("data")
        mine = [n for n in listed or [] if isinstance(n, dict) and n.get("phone_number") == number]
        if not mine:
            raise UsageError(f"--number: this Telnyx account has no number {masked(number)}")
        application = text_at(mine[0], "connection_id")
        if not application:
            raise UsageError(
                f"--number: {masked(number)} has no TeXML application: assign it one in Telnyx's portal"
            )
        try:
            answer = await self.rest.call("GET", f"/texml_applications/{quote(application, safe='')}")
        except ProviderError as error:
            if error.status != 404:
                raise
            raise UsageError(
                f"--number: the connection of {masked(number)} is not a TeXML application. Assign it one in"
                " Telnyx's portal"
            ) from None
        names = ("friendly_name", "voice_url", "voice_method")
        return {"application": application, **{name: text_at(answer, "data", name) for name in names}}

    async def point_number(self, state: Mapping[str, str], url: str) -> None:
        await self._set_application(state, url, "post")

    async def restore_number(self, state: Mapping[str, str]) -> None:
        await self._set_application(state, state["voice_url"], state["voice_method"] or "post")

    async def _set_application(self, state: Mapping[str, str], url: str, method: str) -> None:
        path = f"/texml_applications/{quote(state['application'], safe='')}"
        body = {"friendly_name": state["friendly_name"], "voice_url": url, "voice_method": method}
        await self.rest.call("PATCH", path, body=body)


def _payload(request: WebRequest) -> Mapping[str, Any]:
    data = request.json.get("data")
    payload = data.get("payload") if isinstance(data, dict) else None
    return payload if isinstance(payload, dict) else {}


def _facts_of_event(payload: Mapping[str, Any]) -> CallFacts:
    result = text_at(payload, "result")
    return CallFacts(
        call_id=text_at(payload, "call_control_id"),
        from_number=text_at(payload, "from"),
        to_number=text_at(payload, "to"),
        outbound=text_at(payload, "direction") == "outgoing",
        answered_by="machine" if result.startswith(("machine", "fax")) else result,
    )


def _action(call_id: str, action: str) -> str:
    # The id contains a colon.
    return f"/calls/{quote(call_id, safe='')}/actions/{action}"


def _stream(socket: MediaSocket) -> dict[str, Any]:
    """A bidirectional stream; the token comes in a header of the socket."""
    return {
        "stream_url": f"{socket.origin}/ws",
        "stream_track": "inbound_track",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_auth_token": socket.token,
    }


def _command(command_id: str = "") -> dict[str, str]:
    """A command id: Telnyx carries out each id once."""
    return {"command_id": command_id or str(uuid.uuid4())}


def _has_ended(status: int, answer: Mapping[str, Any]) -> bool:
    errors = answer.get("errors")
    codes = [str(error.get("code")) for error in errors or [] if isinstance(error, dict)]
    return status == 404 or (status == 422 and _ENDED in codes)
