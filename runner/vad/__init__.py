"""Voice activity: the model that distinguishes speech from other sound, for all calls of the process.

    from runner.vad import SileroVADAnalyzer, VADParams

Nothing heavy is imported until an analyzer is made, or `preload` is called. Who imports `SileroVADAnalyzer`
means to use it: the worker then loads the model before the first call. So it is imported when asked for.
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
