"""Turn taking: pure state machines that get facts and `now` and return decisions."""

from __future__ import annotations

from runner.turns.end_of_turn import (
    AskLLM,
    EndCall,
    IdlePrompt,
    RuleTurnAnalyzer,
    Say,
    TurnAnalyzer,
    TurnPauses,
    Words,
)
from runner.turns.interruption import (
    CallState,
    Confirm,
    Decision,
    InterruptionStrategy,
    MinWords,
    MuteDuringTools,
    MuteUntilBotSpoke,
    MuteWhileBotSpeaks,
    NoInterruptions,
    Overlap,
    Speech,
)
from runner.turns.vad import VADEvent, VADKind, VADParams, VADState, VADStateMachine

__all__ = [
    "AskLLM",
    "CallState",
    "Confirm",
    "Decision",
    "EndCall",
    "IdlePrompt",
    "InterruptionStrategy",
    "MinWords",
    "MuteDuringTools",
    "MuteUntilBotSpoke",
    "MuteWhileBotSpeaks",
    "NoInterruptions",
    "Overlap",
    "RuleTurnAnalyzer",
    "Say",
    "Speech",
    "TurnAnalyzer",
    "TurnPauses",
    "VADEvent",
    "VADKind",
    "VADParams",
    "VADState",
    "VADStateMachine",
    "Words",
]
