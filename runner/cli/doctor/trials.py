"""Checks of `botrun doctor` that need an account.

`-t daily` creates a room and two tokens, joins, and deletes the room. That costs one participant minute.

`--try` sends one free request for each key that is set, to see whether it is accepted. Each asks for a list
that costs nothing, at the address of the vendor's own SDK: openai 3.54.0 (resources/models.py), deepgram-sdk
7.17.0 (manage/v1/projects), cartesia 4.2.0 (resources/voices.py) and elevenlabs 2.78.0 (user/raw_client.py).
None was confirmed with an account.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from runner.cli.doctor.machine import Check, State
from runner.errors import BotrunError
from runner.server.daily import KEYS, own_room
from runner.settings import read_keys

if TYPE_CHECKING:
    import httpx2

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


WITHIN_S = 8.0
SKEW_S = 60.0
"""A clock that differs from a server's by more than this (s) is wrong."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A service, the URL to ask, and the headers that carry the key in place of "{key}"."""

    title: str
    url: str
    headers: Mapping[str, str]


TRIALS = {
    "OPENAI_API_KEY": Trial("OpenAI", "https://api.openai.com/v1/models", {"Authorization": "Bearer {key}"}),
    "DEEPGRAM_API_KEY": Trial(
        "Deepgram", "https://api.deepgram.com/v1/projects", {"Authorization": "Token {key}"}
    ),
    "CARTESIA_API_KEY": Trial(
        "Cartesia",
        "https://api.cartesia.ai/voices?limit=1",
        {"Authorization": "Bearer {key}", "Cartesia-Version": "2026-08-14"},
    ),
    "ELEVENLABS_API_KEY": Trial("ElevenLabs", "https://api.elevenlabs.io/v1/user", {"xi-api-key": "{key}"}),
}


async def try_keys(dotenv: Mapping[str, str]) -> AsyncIterator[Check]:
    """Ask each service whose key is set, and compare the clocks."""
    import httpx2

    keys = read_keys([*TRIALS, "OPENAI_BASE_URL"], dotenv)
    base_url = keys.pop("OPENAI_BASE_URL", "")
    if not keys:
        yield Check("services", State.NOTE, "no service key is set, so none was tested")
    async with httpx2.AsyncClient(timeout=WITHIN_S, follow_redirects=False) as http:
        for env, key in keys.items():
            trial = TRIALS[env]
            url = f"{base_url.rstrip('/')}/models" if base_url and env == "OPENAI_API_KEY" else trial.url
            headers = {name: value.format(key=key) for name, value in trial.headers.items()}
            try:
                answer = await http.get(url, headers=headers)
            except httpx2.HTTPError as error:
                host = httpx2.URL(url).host
                yield Check(trial.title, State.FAIL, f"{host} cannot be reached ({type(error).__name__})")
                continue
            yield _judged(trial.title, env, answer)
            if skewed := _skew(answer):
                yield skewed


def _judged(title: str, env: str, answer: httpx2.Response) -> Check:
    status = answer.status_code
    if answer.is_success:
        return Check(title, State.OK, f"{env} is accepted")
    if status in {401, 403}:
        return Check(title, State.FAIL, f"{env} is refused ({status}). Check it in .env")
    if status == 429:
        return Check(title, State.NOTE, f"{env} is known, but its quota is used up for now (429)")
    return Check(title, State.FAIL, f"answered {status} to a free request. Check the address")


def _skew(answer: httpx2.Response) -> Check | None:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except ValueError:
        return None
    off_s = time.time() - theirs
    if abs(off_s) < SKEW_S:
        return None
    way = "ahead of" if off_s > 0 else "behind"
    return Check(
        "clock",
        State.FAIL,
        f"{abs(off_s):.0f} s {way} {answer.url.host}'s clock: signed webhooks will be refused. Set the clock",
    )
