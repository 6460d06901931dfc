"""Who speaks and whose turn it is: pure state machines. A value and `now` in, a decision out."""

from __future__ import annotations

from runner.turns.vad import VADEvent, VADKind, VADParams, VADState, VADStateMachine

__all__ = ["VADEvent", "VADKind", "VADParams", "VADState", "VADStateMachine"]
