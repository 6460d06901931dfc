"""Bots written for Pipecat run on botrun's own engine where Pipecat is not installed.

table.py       which of our modules stand for a module of Pipecat's
finder.py      imports of the bot's own files find them; nobody else's do
pipeline.py, context.py, services.py, transports.py, frames.py, language.py, small.py
               thin aliases: names and arguments of ours in Pipecat's spelling
"""

from __future__ import annotations

import sys
from pathlib import Path

from runner.botcode.failure import register_name_hint
from runner.botcode.loader import BotTarget, LoadedBot, load_bot
from runner.integrations.pipecat_names.finder import Finder, OursFinder, open_loaded
from runner.integrations.pipecat_names.moved import MovedFinder
from runner.integrations.pipecat_names.table import hint_for

__all__ = ["install", "load"]


def load(target: BotTarget) -> LoadedBot:
    """`load_bot` for a bot that may import Pipecat's names, now and while it runs.

    Raises:
        BotLoadError: as `load_bot`.
    """
    finder = install(target.path)
    try:
        return load_bot(target)
    finally:
        finder.clear()


def install(bot: Path | None = None) -> Finder:
    """From now on, files of the bot's project can import Pipecat's names. Once; further calls name the bot.

    `bot`: its file; None where it is not known: every file that is not of an installed package.
    """
    for finder in sys.meta_path:
        if isinstance(finder, Finder):
            finder.bot = bot or finder.bot
            return finder
    finder = Finder(bot)
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(OursFinder(finder))
    sys.meta_path.append(MovedFinder(finder.is_asked_by_the_bot))
    open_loaded()
    register_name_hint(hint_for)
    return finder
