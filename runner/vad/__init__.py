"""Voice activity: the model that tells speech from other sound, for all calls of the process.

    from runner.vad import SileroVADAnalyzer, VADParams

Nothing heavy is imported until an analyzer is made, or `preload` is called.
"""

from __future__ import annotations

from runner.turns.vad import VADEvent, VADKind, VADParams, VADState
from runner.vad.base import VADAnalyzer
from runner.vad.silero import SileroVADAnalyzer, preload

__all__ = ["SileroVADAnalyzer", "VADAnalyzer", "VADEvent", "VADKind", "VADParams", "VADState", "preload"]
