"""Ears, a voice and a dialogue that need no account: a demonstration, not a recogniser for dictation.

Recognition (pocketsphinx, a grammar of commands) and speech (espeak-ng) each work in helper processes that
are started before the first call and shared by all. Importing a service registers its warm-up and loads
none of those packages.
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
    """A helper process lives in this package too, and needs none of the services."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
