"""`botrun doctor -t daily`: what botrun's own tests cannot do, for it needs an account at Daily.

It makes a room, two tokens, joins, and deletes the room: a minute of one participant, which costs nothing or
next to it. Each step says how it went.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from runner.cli.doctor.machine import Check, State
from runner.errors import BotrunError
from runner.server.daily.preflight import KEYS, own_room
from runner.settings import read_keys

if TYPE_CHECKING:
    from runner.providers.daily import DailyRest
    from runner.providers.daily_rooms import Room

LIFE_S = 180.0
"""The room closes by itself after so long (s), whatever happens to this program."""

HZ = 24000
HELD_S = 1.0


async def daily_checks() -> AsyncIterator[Check]:
    """Each step with a key; without one, what there is to be said."""
    from runner.providers.daily import DailyRest

    keys, room = read_keys(KEYS), None
    try:
        if (room := own_room(keys)) is not None:
            yield Check("Daily room", State.OK, f"{room.url} is used instead of new ones")
    except BotrunError as error:
        yield Check("Daily room", State.FAIL, str(error))
    if not (key := keys.get("DAILY_API_KEY", "")):
        state = State.NOTE if room else State.FAIL
        yield Check(
            "Daily keys", state, "DAILY_API_KEY is not set (Daily's dashboard shows it): no room can be made"
        )
        return
    rest = DailyRest(key, keys.get("DAILY_API_URL", ""))
    try:
        async for check in _steps(rest):
            yield check
    finally:
        await rest.aclose()


async def _steps(rest: DailyRest) -> AsyncIterator[Check]:
    from runner.providers.daily_rooms import RoomWish

    ends_at = time.time() + LIFE_S
    try:
        yield Check("Daily account", State.OK, await rest.check_account())
        room = await rest.create_room(RoomWish(expires_at=ends_at))
    except BotrunError as error:
        yield Check("Daily account", State.FAIL, str(error))
        return
    yield Check("Daily room", State.OK, f"{room.url} was made")
    try:
        yield await _joined(rest, room, ends_at)
    finally:
        gone = await _deleted(rest, room)
    yield gone


async def _joined(rest: DailyRest, room: Room, ends_at: float) -> Check:
    try:
        owner = await rest.token(room.name, expires_at=ends_at, owner=True)
        await rest.token(room.name, expires_at=ends_at, owner=False)
        began = time.monotonic()
        await _join(room, owner)
    except BotrunError as error:
        return Check("Daily call", State.FAIL, str(error))
    return Check(
        "Daily call", State.OK, f"joined with a token, spoke, and left ({time.monotonic() - began:.1f} s)"
    )


async def _join(room: Room, token: str) -> None:
    """Join, send a little silence, and leave."""
    from runner.transports.daily.call import DailyCall
    from runner.transports.daily.library import load_library
    from runner.transports.daily.params import DailyParams
    from runner.transports.daily.settings import join_settings

    library = load_library()
    microphone = library.microphone(HZ)
    call = DailyCall(library, "botrun doctor", lambda name, told: None)
    try:
        await call.join(room.url, token, join_settings(DailyParams(), microphone, None))
        microphone.write(bytes(HZ // 50 * 2), lambda samples: None)
        await asyncio.sleep(HELD_S)
    finally:
        await call.leave(2.0)


async def _deleted(rest: DailyRest, room: Room) -> Check:
    try:
        await rest.delete_room(room.name)
        gone = not await rest.has_room(room.name)
    except BotrunError as error:
        return Check("Daily room", State.FAIL, f"it could not be deleted, and expires in minutes: {error}")
    told = "was deleted" if gone else "is still there after it was deleted"
    return Check("Daily room", State.OK if gone else State.FAIL, told)
