"""Daily's REST interface: rooms, tokens, and connecting waiting dial-in calls (PROTOCOLS.md §5)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from runner.errors import ProviderError, UsageError
from runner.providers.rest import Rest
from runner.providers.webhooks import RefusedError, WebRequest, as_base64, from_base64, same

PREFIX = "botrun-"
_NO_PROPERTIES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class RoomWish:
    """The settings of a room to make.

    Attributes:
        expires_at: Unix time (s) at which Daily closes the room and removes everybody.
        name: the name in its URL; by default a random one.
        dial_in: whether phones can be connected to it (SIP).
        dial_out: whether phones can be called from it.
        shown_as: display name of its SIP endpoint, usually the caller's number.
        properties: further room properties, as Daily names them; they override these settings.
    """

    expires_at: float
    name: str = field(default_factory=lambda: PREFIX + secrets.token_hex(8))
    dial_in: bool = False
    dial_out: bool = False
    shown_as: str = "dial-in"
    properties: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """For `POST /rooms`."""
        # exp alone only prevents joining (PROTOCOLS.md §5).
        properties: dict[str, Any] = {
            "exp": int(self.expires_at),
            "eject_at_room_exp": True,
            "enable_prejoin_ui": False,
            "start_video_off": True,
        }
        if self.dial_out:
            properties["enable_dialout"] = True
        if self.dial_in:
            properties["sip"] = {
                "display_name": self.shown_as,
                "video": False,
                "sip_mode": "dial-in",
                "num_endpoints": 1,
            }
        # Private: joining needs a token.
        return {"name": self.name, "privacy": "private", "properties": {**properties, **self.properties}}


@dataclass(frozen=True)
class Room:
    """An existing room. `sip_uri` is where phones are connected; "" without dial-in."""

    name: str
    url: str
    sip_uri: str = ""

    def visitor_url(self, token: str | None) -> str:
        """The URL at which a person joins with a browser."""
        return f"{self.url}?{urlencode({'t': token})}" if token else self.url


def room_at(url: str, where: str = "DAILY_ROOM_URL") -> Room:
    """The room at this URL.

    Raises:
        UsageError: this is not the URL of a Daily room.
    """
    try:
        parts = urlsplit(url.strip())
        name = parts.path.strip("/")
        port = parts.port
    except ValueError:
        raise UsageError(f"{where}: {url[:80]!r} is not the URL of a Daily room") from None
    local = parts.hostname in {"localhost", "127.0.0.1"}
    if not parts.hostname or not name or "/" in name or (parts.scheme != "https" and not local):
        raise UsageError(
            f"{where}: {url[:80]!r} is not the URL of a Daily room, such as https://you.daily.co/room"
        )
    host = parts.hostname + (f":{port}" if port else "")
    return Room(name, f"{parts.scheme}://{host}/{name}")


def room_in(answer: Mapping[str, Any]) -> Room | None:
    """The room that an answer describes; None if there is none."""
    name, url, config = answer.get("name"), answer.get("url"), answer.get("config")
    if not isinstance(name, str) or not isinstance(url, str) or not name or not url:
        return None
    sip = config.get("sip_uri") if isinstance(config, dict) else None
    endpoint = sip.get("endpoint") if isinstance(sip, dict) else None
    return Room(name, url, f"sip:{endpoint}" if isinstance(endpoint, str) and endpoint else "")


TITLE = "Daily"
USUAL_API = "https://api.daily.co/v1"

TRIES = 5
"""With the pauses between them these outlast Daily's rate-limit window of 5 s (PROTOCOLS.md §5)."""

DEADLINE_S = 9.0
PINLESS_DEADLINE_S = 10.0


class DailyRest:
    """One account at Daily.

    Args:
        key: the API key.
        api: base URL of the interface, if not the usual one.
    """

    def __init__(self, key: str, api: str = "") -> None:
        if not key:
            raise UsageError(
                "Daily needs a key to create rooms: set DAILY_API_KEY in .env, or DAILY_ROOM_URL for an"
                " existing room"
            )
        self._rest = Rest(TITLE, (api or USUAL_API).rstrip("/"), secrets=(key,), bearer=key)

    async def create_room(self, wish: RoomWish) -> Room:
        """Create a room.

        Raises:
            ProviderError: the request failed.
        """
        try:
            answer = await self._call("POST", "/rooms", body=wish.body())
        except ProviderError as error:
            # The name is random, so an earlier try has created the room and its answer was lost.
            if error.status != 400 or "already exists" not in str(error):
                raise
            answer = await self._call("GET", _at(wish.name))
        room = room_in(answer)
        if room is None:
            raise ProviderError(TITLE, "its answer has no room name and URL")
        return room

    async def delete_room(self, name: str) -> None:
        """Delete a room, which removes everybody. A room that does not exist counts as success."""
        await self._call("DELETE", _at(name), gone=lambda status, _: status == 404)

    async def has_room(self, name: str) -> bool:
        """Whether there is a room of that name."""
        answer = await self._call("GET", _at(name), gone=lambda status, _: status == 404)
        return room_in(answer) is not None

    async def token(
        self,
        room: str,
        *,
        expires_at: float,
        owner: bool,
        user_name: str = "",
        properties: Mapping[str, Any] = _NO_PROPERTIES,
    ) -> str:
        """A token for this room, valid until a Unix time (s). `properties`: more token properties."""
        # Without room_name a token opens every room of the account; without exp it never expires (§5).
        wanted = {"exp": int(expires_at), "is_owner": owner, **properties, "room_name": room}
        named = {"user_name": user_name} if user_name else {}
        answer = await self._call("POST", "/meeting-tokens", body={"properties": {**wanted, **named}})
        token = answer.get("token")
        if not isinstance(token, str) or not token:
            raise ProviderError(TITLE, "its answer has no token")
        return token

    async def connect_dialin(self, call_id: str, call_domain: str, sip_uri: str) -> None:
        """Connect a waiting caller to a room's SIP endpoint, once that is ready."""
        body = {"callId": call_id, "callDomain": call_domain, "sipUri": sip_uri}
        await self._call("POST", "/dialin/pinlessCallUpdate", body=body, deadline_s=PINLESS_DEADLINE_S)

    async def check_account(self) -> str:
        """Check the key; returns a phrase about the account."""
        answer = await self._rest.call("GET", "/rooms", query={"limit": "1"})
        count = answer.get("total_count")
        return f"the key is valid; {count} rooms exist" if isinstance(count, int) else "the key is valid"

    async def _call(
        self, method: str, path: str, *, deadline_s: float = DEADLINE_S, **more: Any
    ) -> Mapping[str, Any]:
        return await self._rest.call(method, path, deadline_s=deadline_s, tries=TRIES, **more)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._rest.aclose()


def _at(room: str) -> str:
    return f"/rooms/{quote(room, safe='')}"


SECRET = "DAILY_DIALIN_SECRET"
SIGNATURE, TIMESTAMP = "x-pinless-signature", "x-pinless-timestamp"
SKEW_S = 300.0
MILLISECONDS_FROM = 1e11
"""Larger timestamps are in ms: in s this is the year 5138. [?] Daily does not document the unit."""


@dataclass(frozen=True)
class WaitingCall:
    """A caller that Daily holds until the bot's room is ready."""

    call_id: str
    call_domain: str
    from_number: str = ""
    to_number: str = ""
    sip_headers: Mapping[str, str] = field(default_factory=dict)


def is_test(request: WebRequest) -> bool:
    """Whether Daily is testing the URL while a number is set up; it expects a 200."""
    payload = request.json
    return ("test" in payload or "Test" in payload) and "callId" not in payload


def check_pinless(request: WebRequest, secret: str, now: float) -> None:
    """Check that Daily sent this webhook, and recently. `now` is Unix time (s).

    Raises:
        RefusedError: Daily did not send it, or that cannot be checked.
    """
    timestamp = request.header(TIMESTAMP)
    key = from_base64(secret, SECRET)
    ours = as_base64(hmac.digest(key, timestamp.encode() + b"." + request.body, hashlib.sha256))
    if not same(ours, request.header(SIGNATURE)):
        raise RefusedError(f"the signature does not match: set {SECRET} to the hmac of this number's dial-in")
    if abs(_seconds(timestamp) - now) > SKEW_S:
        raise RefusedError(
            f"its timestamp differs from this machine's clock by more than {SKEW_S:g} s: the clock is wrong,"
            " or this is a replay of an old request"
        )


def _seconds(timestamp: str) -> float:
    try:
        value = float(timestamp)
    except ValueError:
        raise RefusedError("its timestamp is not a number") from None
    return value / 1000 if value > MILLISECONDS_FROM else value


def read_waiting_call(request: WebRequest) -> WaitingCall:
    """The waiting caller that a webhook describes. Raises `RefusedError` if it names no call."""
    payload = request.json
    call_id, domain = payload.get("callId"), payload.get("callDomain")
    if not isinstance(call_id, str) or not isinstance(domain, str) or not call_id or not domain:
        raise RefusedError("it has no callId and callDomain")
    headers = payload.get("sipHeaders")
    return WaitingCall(
        call_id,
        domain,
        str(payload.get("From") or ""),
        str(payload.get("To") or ""),
        {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},
    )
