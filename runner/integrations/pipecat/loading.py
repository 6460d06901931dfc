"""Loads a bot of Pipecat's: what must be set before its file is imported, and what is made of it then.

Imports pipecat only for bots that do.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.botcode.loader import BotTarget, LoadedBot, NoBotFunctionError
from runner.errors import BotLoadError
from runner.integrations import pipecat_names
from runner.integrations.pipecat import detect
from runner.settings import Settings

OURS = "runner.integrations.pipecat."

USED_LATER = {
    "pipecat.services.llm_service": (
        "pipecat.adapters.llm.services.open_ai_adapter",
        "pipecat.adapters.services.open_ai_adapter",  # where it was before 1.14
    ),
    "pipecat.processors.aggregators.llm_response_universal": (
        "pipecat.audio.turn.smart_turn.local_smart_turn_v3",
    ),
    "pipecat.runner.utils": ("pipecat.transports.websocket.fastapi",),
}
"""What these modules import in a call. Imported before, so that no caller waits for it."""

OF_TRANSPORT = {
    "webrtc": ("pipecat.transports.smallwebrtc.transport", f"{OURS}transports.webrtc"),
    "daily": ("pipecat.transports.daily.transport",),
}


def prepare(bot: Path) -> bool:
    """Set up the process for this bot if it is one of Pipecat's; call it before `.env` is entered.

    Returns whether it is.
    """
    if not detect.is_pipecat_bot(bot):
        return False
    _prepare()
    return True


def _prepare() -> None:
    from runner.integrations.pipecat import loguru_log

    # Pipecat's runner sets it when it is imported, and bots choose by it: a noise filter that needs a
    # licence, for example. What the user has set for the process stays.
    os.environ.setdefault("ENV", "local")
    loguru_log.route()


def load(target: BotTarget, settings: Settings | None = None) -> LoadedBot:
    """`load_bot`, also for bots of Pipecat's. `settings`: the run's, for the bot's own command line.

    Raises:
        BotLoadError: as `load_bot`.
    """
    settings = settings or Settings()
    sys.argv = [str(target.path), *settings.bot_args]
    if not prepare(target.path):
        return pipecat_names.load(target)
    detect.check_one_engine(target.path)
    env = os.environ["ENV"]
    _prefer(target.path.parent)
    try:
        bot = pipecat_names.load(target)
    except NoBotFunctionError as error:
        from runner.integrations.pipecat.without_bot import what_to_add

        raise what_to_add(error, target.path) from None
    except BotLoadError as error:
        from runner.integrations.pipecat.older import explained

        raise explained(error) from error.__cause__
    finally:
        # A bot's `load_dotenv(override=True)` comes before Pipecat's runner sets it.
        os.environ["ENV"] = env
    from runner.integrations.pipecat.adapter import adapt

    import_what_is_used_later()
    return adapt(bot, settings)


def _prefer(folder: Path) -> None:
    """Modules beside the bot come before installed ones, as where Python runs its file; bots rely on it."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def modules_of(bot: Path, transports: Sequence[str]) -> list[str]:
    """What the fork server imports for this bot, so that a save does not wait for it."""
    if not detect.is_pipecat_bot(bot):
        return []
    names = [*detect.pipecat_modules(bot), f"{OURS}adapter"]
    return names + [name for transport in transports for name in OF_TRANSPORT.get(transport, ())]


def is_part(name: str) -> bool:
    """Whether this is a module of pipecat, or one of ours that needs it."""
    return name.partition(".")[0] == "pipecat" or name.startswith(OURS)


def import_early(names: Sequence[str]) -> None:
    """Import modules of pipecat in the fork server. What fails is left to the worker, which reports it."""
    from runner.integrations.pipecat import loguru_log

    _prepare()
    loguru_log.quiet = True
    try:
        _import_all(names)
        import_what_is_used_later()
    finally:
        loguru_log.quiet = False


def import_what_is_used_later() -> None:
    """Import what modules that are there import in a call (`USED_LATER`)."""
    _import_all([name for module, names in USED_LATER.items() if module in sys.modules for name in names])


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):  # pipecat's modules raise what they like
            importlib.import_module(name)
