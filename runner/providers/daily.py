"""Daily's REST interface: rooms, tokens, and connecting a call that waits (PROTOCOLS.md §5)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from runner.errors import ProviderError, UsageError
from runner.providers.rest import Rest
from runner.providers.webhooks import RefusedError, WebRequest, as_base64, from_base64, same

PREFIX = "botrun-"


@dataclass(frozen=True, kw_only=True)
class RoomWish:
    """The settings of a room to make.

    Attributes:
        expires_at: Unix time (s), after which it is closed and everybody in it is sent out.
        name: as in its address; a name that nobody can guess, if none is given.
        dial_in: whether phones can be connected to it (SIP).
        dial_out: whether phones can be called from it.
        shown_as: what its SIP end is called: the caller's number, as a rule.
        properties: further ones, in Daily's words; they go before ours.
    """

    expires_at: float
    name: str = field(default_factory=lambda: PREFIX + secrets.token_hex(8))
    dial_in: bool = False
    dial_out: bool = False
    shown_as: str = "dial-in"
    properties: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """For `POST /rooms`."""
        # A room's exp alone only stops people from joining (PROTOCOLS.md §5).
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
        # Private: who comes in needs a token of ours.
        return {"name": self.name, "privacy": "private", "properties": {**properties, **self.properties}}


@dataclass(frozen=True)
class Room:
    """A room that is there. `sip_uri` is where phones are connected; "" if they are not."""

    name: str
    url: str
    sip_uri: str = ""

    def visitor_url(self, token: str | None) -> str:
        """Where a person joins with a browser."""
        return f"{self.url}?{urlencode({'t': token})}" if token else self.url


def room_at(url: str, where: str = "DAILY_ROOM_URL") -> Room:
    """The room at an address of Daily's.

    Raises:
        UsageError: it is no such address.
    """
    try:
        parts = urlsplit(url.strip())
        name = parts.path.strip("/")
        port = parts.port
    except ValueError:
        raise UsageError(f"{where}: {url[:80]!r} is no address of a Daily room") from None
    local = parts.hostname in {"localhost", "127.0.0.1"}
    if not parts.hostname or not name or "/" in name or (parts.scheme != "https" and not local):
        raise UsageError(f"{where}: {url[:80]!r} is no address of a Daily room, as https://you.daily.co/room")
    host = parts.hostname + (f":{port}" if port else "")
    return Room(name, f"{parts.scheme}://{host}/{name}")


def room_told(told: Mapping[str, Any]) -> Room | None:
    """The room that an answer tells of; None if it tells of none."""
    name, url, config = told.get("name"), told.get("url"), told.get("config")
    if not isinstance(name, str) or not isinstance(url, str) or not name or not url:
        return None
    sip = config.get("sip_uri") if isinstance(config, dict) else None
    endpoint = sip.get("endpoint") if isinstance(sip, dict) else None
    return Room(name, url, f"sip:{endpoint}" if isinstance(endpoint, str) and endpoint else "")


TITLE = "Daily"
USUAL_API = "https://api.daily.co/v1"

TRIES = 5
"""With their pauses they outlast Daily's window of 5 s for most of what we ask (PROTOCOLS.md §5)."""

DEADLINE_S = 9.0
PINLESS_DEADLINE_S = 10.0


class DailyRest:
    """One account at Daily.

    Args:
        key: the API key.
        api: another address of the interface than the usual one.
    """

    def __init__(self, key: str, api: str = "") -> None:
        if not key:
            raise UsageError("Daily needs a key to make rooms: set DAILY_API_KEY in .env, or DAILY_ROOM_URL")
        self._rest = Rest(TITLE, (api or USUAL_API).rstrip("/"), secrets=(key,), bearer=key)

    async def create_room(self, wish: RoomWish) -> Room:
        """Make a room.

        Raises:
            ProviderError: it could not be done.
        """
        try:
            told = await self._call("POST", "/rooms", body=wish.body())
        except ProviderError as error:
            # Our names are nobody else's: an earlier try has arrived, whose answer was lost.
            if error.status != 400 or "already exists" not in str(error):
                raise
            told = await self._call("GET", _at(wish.name))
        room = room_told(told)
        if room is None:
            raise ProviderError(TITLE, "it answered without a room's name and address")
        return room

    async def delete_room(self, name: str) -> None:
        """Close a room and send everybody out; one that is gone already is fine."""
        await self._call("DELETE", _at(name), gone=lambda status, _: status == 404)

    async def has_room(self, name: str) -> bool:
        """Whether there is a room of that name."""
        told = await self._call("GET", _at(name), gone=lambda status, _: status == 404)
        return room_told(told) is not None

    async def token(self, room: str, *, expires_at: float, owner: bool, user_name: str = "") -> str:
        """A token for this room, which ends at a Unix time (s)."""
        # Without a room's name it would open every room of the account, without exp for ever (§5).
        properties = {"room_name": room, "exp": int(expires_at), "is_owner": owner}
        named = {"user_name": user_name} if user_name else {}
        told = await self._call("POST", "/meeting-tokens", body={"properties": {**properties, **named}})
        token = told.get("token")
        if not isinstance(token, str) or not token:
            raise ProviderError(TITLE, "it answered without a token")
        return token

    async def connect_dialin(self, call_id: str, call_domain: str, sip_uri: str) -> None:
        """Connect a caller who waits to a room's SIP end, now that it is ready."""
        body = {"callId": call_id, "callDomain": call_domain, "sipUri": sip_uri}
        await self._call("POST", "/dialin/pinlessCallUpdate", body=body, deadline_s=PINLESS_DEADLINE_S)

    async def check_account(self) -> str:
        """Try the key; a sentence about the account. It costs nothing."""
        told = await self._rest.call("GET", "/rooms", query={"limit": "1"})
        count = told.get("total_count")
        return f"the key fits; {count} rooms are there" if isinstance(count, int) else "the key fits"

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
"""A timestamp beyond this is in ms: in s it would be the year 5138. [?] The unit is not written down."""


@dataclass(frozen=True)
class WaitingCall:
    """A caller whom Daily holds."""

    call_id: str
    call_domain: str
    from_number: str = ""
    to_number: str = ""
    sip_headers: Mapping[str, str] = field(default_factory=dict)


def is_test(request: WebRequest) -> bool:
    """Whether this is Daily trying the address while a number is being set up: it wants a 200."""
    told = request.json
    return ("test" in told or "Test" in told) and "callId" not in told


def check_pinless(request: WebRequest, secret: str, now: float) -> None:
    """See that Daily sent this webhook, and just now. `now` is Unix time (s).

    Raises:
        RefusedError: it did not, or it cannot be told.
    """
    told = request.header(TIMESTAMP)
    key = from_base64(secret, SECRET)
    ours = as_base64(hmac.digest(key, told.encode() + b"." + request.body, hashlib.sha256))
    if not same(ours, request.header(SIGNATURE)):
        raise RefusedError(f"the signature does not fit: is {SECRET} the hmac of this number's dial-in?")
    if abs(_seconds(told) - now) > SKEW_S:
        raise RefusedError("its timestamp is not of now: an old message, or this machine's clock is wrong")


def _seconds(told: str) -> float:
    try:
        value = float(told)
    except ValueError:
        raise RefusedError("its timestamp is no number") from None
    return value / 1000 if value > MILLISECONDS_FROM else value


def read_waiting_call(request: WebRequest) -> WaitingCall:
    """The caller that a webhook tells of. Raises `RefusedError` if it names no call."""
    told = request.json
    call_id, domain = told.get("callId"), told.get("callDomain")
    if not isinstance(call_id, str) or not isinstance(domain, str) or not call_id or not domain:
        raise RefusedError("it names no call")
    headers = told.get("sipHeaders")
    return WaitingCall(
        call_id,
        domain,
        str(told.get("From") or ""),
        str(told.get("To") or ""),
        {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},
    )
