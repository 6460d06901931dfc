"""Speech recognition, a voice and a dialogue that need no account; for demonstrations, not for dictation.

Recognition (pocketsphinx, a grammar of commands) and speech (espeak-ng) run in helper processes that start
before the first call and serve all calls. Importing a service registers its start without loading these
packages.
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
    """Import services lazily: helper processes import this package, too, but need no service."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
