"""smart-turn under Pipecat's names. Importing it has the worker load the model before the first call."""

from __future__ import annotations

from dataclasses import dataclass

from runner.vad.smart_turn import SmartTurnAnalyzer

__all__ = [
    "LocalSmartTurnAnalyzer",
    "LocalSmartTurnAnalyzerV2",
    "LocalSmartTurnAnalyzerV3",
    "SmartTurnParams",
]


@dataclass(kw_only=True)
class SmartTurnParams:
    """How long (s) the silence may be after speech that the model finds unfinished. Not used here:
    botrun waits as long as the words ask for."""

    stop_secs: float = 3.0
    pre_speech_ms: float = 500
    max_duration_secs: float = 8


class LocalSmartTurnAnalyzerV3(SmartTurnAnalyzer):
    """smart-turn v3. The model is a file, or that of an installed pipecat-ai."""

    def __init__(
        self,
        *,
        smart_turn_model_path: str | None = None,
        cpu_count: int = 1,
        sample_rate: int | None = None,
        params: SmartTurnParams | None = None,
    ) -> None:
        super().__init__(smart_turn_model_path)


LocalSmartTurnAnalyzer = LocalSmartTurnAnalyzerV2 = LocalSmartTurnAnalyzerV3
