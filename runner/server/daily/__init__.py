"""Checks what a run needs for Daily rooms, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping

from runner.errors import UsageError
from runner.providers.daily import Room, room_at
from runner.settings import read_keys
from runner.settings.transports import choose_transports

ROOMS = ("DAILY_ROOM_URL", "DAILY_SAMPLE_ROOM_URL")
KEYS = ("DAILY_API_KEY", "DAILY_API_URL", *ROOMS)


def own_room(keys: Mapping[str, str]) -> Room | None:
    """The user's own room that is set instead of a new room for each call; None if none is set.

    Raises:
        UsageError: the setting is not the URL of a room.
    """
    for name in ROOMS:
        if url := keys.get(name):
            return room_at(url, name)
    return None


def check_daily(dotenv: Mapping[str, str]) -> None:
    """Check that rooms are available.

    Raises:
        UsageError: a setting is missing; the message names it.
        MissingPackageError: daily-python is not installed.
    """
    choose_transports(["daily"])
    keys = read_keys(KEYS, dotenv)
    if own_room(keys) is None and not keys.get("DAILY_API_KEY"):
        raise UsageError(
            "-t daily needs a room: set DAILY_API_KEY in the environment or in .env (Daily's dashboard has it"
            " under Developers), or DAILY_ROOM_URL to a public room of yours"
        )
