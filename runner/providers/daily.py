"""Daily's REST interface: rooms, tokens, and connecting a call that waits (PROTOCOLS.md §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from runner.errors import ProviderError, UsageError
from runner.providers.daily_rooms import Room, RoomWish, room_told
from runner.providers.rest import Rest

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
        """Let go of connections."""
        await self._rest.aclose()


def _at(room: str) -> str:
    return f"/rooms/{quote(room, safe='')}"
