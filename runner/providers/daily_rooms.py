"""Daily's rooms in our words: what one shall be, what one is, and who may do what in it. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from runner.errors import UsageError

PREFIX = "botrun-"


@dataclass(frozen=True, kw_only=True)
class RoomWish:
    """What a room shall be.

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
