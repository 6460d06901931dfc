"""`botrun doctor -t daily`: checks that need an account at Daily.

It creates a room and two tokens, joins, and deletes the room: a minute of one participant, which costs next
to nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from runner.cli.doctor.machine import Check, State
from runner.errors import BotrunError
from runner.server.daily import KEYS, own_room
from runner.settings import read_keys

if TYPE_CHECKING:
    from runner.providers.daily import DailyRest, Room

LIFE_S = 180.0
"""The room expires after this many seconds, even if this program is killed."""

HZ = 24000
HELD_S = 1.0


async def daily_checks() -> AsyncIterator[Check]:
    """One check per step; without a key, only what can be said without one."""
    from runner.providers.daily import DailyRest

    keys, room = read_keys(KEYS), None
    try:
        if (room := own_room(keys)) is not None:
            yield Check("Daily room", State.OK, f"{room.url} is used instead of new rooms")
    except BotrunError as error:
        yield Check("Daily room", State.FAIL, str(error))
    if not (key := keys.get("DAILY_API_KEY", "")):
        state = State.NOTE if room else State.FAIL
        yield Check(
            "Daily keys",
            state,
            "DAILY_API_KEY is not set, so no room can be created. Copy it from Daily's dashboard",
        )
        return
    rest = DailyRest(key, keys.get("DAILY_API_URL", ""))
    try:
        async for check in _steps(rest):
            yield check
    finally:
        await rest.aclose()


async def _steps(rest: DailyRest) -> AsyncIterator[Check]:
    from runner.providers.daily import RoomWish

    ends_at = time.time() + LIFE_S
    try:
        yield Check("Daily account", State.OK, await rest.check_account())
        room = await rest.create_room(RoomWish(expires_at=ends_at))
    except BotrunError as error:
        yield Check("Daily account", State.FAIL, str(error))
        return
    yield Check("Daily room", State.OK, f"created {room.url}")
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
        "Daily call", State.OK, f"joined with a token, sent sound and left ({time.monotonic() - began:.1f} s)"
    )


async def _join(room: Room, token: str) -> None:
    """Join, send a little silence, and leave."""
    from runner.transports.daily.call import DailyCall
    from runner.transports.daily.library import load_library
    from runner.transports.daily.params import DailyParams, join_settings

    library = load_library()
    microphone = library.microphone(HZ)
    call = DailyCall(library, "botrun doctor", lambda name, arguments: None)
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
        return Check("Daily room", State.FAIL, f"could not be deleted; it expires in 3 minutes: {error}")
    result = "deleted" if gone else "still exists after it was deleted"
    return Check("Daily room", State.OK if gone else State.FAIL, result)
