"""Voice activity detection: one model for all calls of the process.

Nothing heavy is imported until an analyzer is created or `preload` is called. `SileroVADAnalyzer` is imported
lazily: the worker loads the model before the first call if the bot has imported it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.turns.vad import VADEvent, VADKind, VADParams, VADState
from runner.vad.base import VADAnalyzer

if TYPE_CHECKING:
    from runner.vad.silero import SileroVADAnalyzer, preload

__all__ = ["SileroVADAnalyzer", "VADAnalyzer", "VADEvent", "VADKind", "VADParams", "VADState", "preload"]


def __getattr__(name: str) -> Any:
    if name in ("SileroVADAnalyzer", "preload"):
        from runner.vad import silero

        return getattr(silero, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
