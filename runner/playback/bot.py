"""Runs a bot with the services of a recorded call."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.botcode.loader import LoadedBot
from runner.pipeline.pipeline import stand_ins
from runner.playback.script import Script, script_of
from runner.playback.services import Playback
from runner.records.call import RecordedCall


def with_recorded_services(bot: LoadedBot, record: Path, live_tools: Iterable[str] = ()) -> LoadedBot:
    """The same bot; in each call its services do what they did in this recorded call.

    Raises:
        RecordError: the record cannot be read.
    """
    return played_back(bot, script_of(RecordedCall(record)), live_tools)


def played_back(bot: LoadedBot, script: Script, live_tools: Iterable[str] = ()) -> LoadedBot:
    """The same bot; in each call its services follow the script."""
    function, live = bot.function, tuple(live_tools)

    @functools.wraps(function)
    async def run(runner_args: Any) -> None:
        stand_ins.set(Playback(script, live).stand_in)
        await function(runner_args)

    return replace(bot, function=run)
