"""Speech recognition, a voice and a dialogue without an account: for demonstrations, not for dictation.

Recognition (pocketsphinx, a grammar of commands) and speech (espeak-ng) run in helper processes that start
before the first call and are shared by all calls. Importing a service registers its start, and loads none of
those packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.services.local.helpers import missing_packages

if TYPE_CHECKING:
    from runner.services.local.dialogue import ScriptedDialogue
    from runner.services.local.stt import LocalSTTService
    from runner.services.local.tts import LocalTTSService

__all__ = ["LocalSTTService", "LocalTTSService", "ScriptedDialogue", "missing_packages"]

_LATER = {
    "LocalSTTService": "runner.services.local.stt",
    "LocalTTSService": "runner.services.local.tts",
    "ScriptedDialogue": "runner.services.local.dialogue",
}


def __getattr__(name: str) -> Any:
    """Import a service at its first use: the helper processes import this package, too, and need none."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
