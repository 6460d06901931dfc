"""Who speaks and whose turn it is: pure state machines. What is known and `now` in, a decision out."""

from __future__ import annotations

from runner.turns.end_of_turn import RuleTurnAnalyzer, TurnAnalyzer, TurnPauses
from runner.turns.idle import AskLLM, EndCall, IdlePrompt, Say
from runner.turns.interruption import (
    Confirm,
    Decision,
    InterruptionStrategy,
    MinWords,
    NoInterruptions,
    Overlap,
    Speech,
)
from runner.turns.muting import CallState, MuteDuringTools, MuteUntilBotSpoke, MuteWhileBotSpeaks
from runner.turns.vad import VADEvent, VADKind, VADParams, VADState, VADStateMachine
from runner.turns.words import Words

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
