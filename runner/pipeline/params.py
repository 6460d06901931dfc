"""`PipelineParams`: how a pipeline runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.turns.end_of_turn import IdlePrompt
from runner.turns.interruption import InterruptionStrategy, Mute


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """How a pipeline runs. Sample rates in Hz; None leaves them to the transport: 8000 for a phone,
    16000 in and 24000 out otherwise.

    Attributes:
        interruption_strategy: whether speech over the bot ends its reply: `Speech()`, `MinWords(3)`,
            `Confirm()`, `NoInterruptions()` or their names "speech", "min_words", "confirm", "none".
        allow_interruptions: False is an older spelling of "none".
        enable_metrics: accepted for Pipecat's bots, as is the next; metrics are always reported.
        mute: when the user is not listened to: `MuteDuringTools()`, `MuteUntilBotSpoke()`, your own.
        idle_prompt: what to do about a user who says nothing.
    """

    audio_in_sample_rate: int | None = None
    audio_out_sample_rate: int | None = None
    allow_interruptions: bool = True
    enable_metrics: bool = True
    enable_usage_metrics: bool = True
    interruption_strategy: InterruptionStrategy | str = "speech"
    mute: Sequence[Mute] = ()
    idle_prompt: IdlePrompt | None = None
