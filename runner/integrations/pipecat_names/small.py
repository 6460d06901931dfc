"""Names of Pipecat's that are one line of ours each."""

from __future__ import annotations

from typing import Any, NoReturn

from runner.audio.mixer import AudioFilter as BaseAudioFilter
from runner.audio.mixer import AudioMixer as BaseAudioMixer
from runner.errors import UsageError
from runner.frames import FunctionCall as FunctionCallFromLLM
from runner.frames import InterruptionFrame as StartInterruptionFrame
from runner.frames import InterruptionTaskFrame as BotInterruptionFrame
from runner.frames import OutputTransportMessageFrame as TransportMessageFrame
from runner.frames import OutputTransportMessageUrgentFrame as TransportMessageUrgentFrame
from runner.pipeline import Observer as BaseObserver
from runner.rtvi import RTVIObserverParams
from runner.transports.noise import NoiseFilter as RNNoiseFilter
from runner.turns import InterruptionStrategy as BaseInterruptionStrategy
from runner.turns import MinWords
from runner.turns import TurnAnalyzer as BaseTurnAnalyzer

__all__ = [
    "BaseAudioFilter",
    "BaseAudioMixer",
    "BaseInterruptionStrategy",
    "BaseObserver",
    "BaseTurnAnalyzer",
    "BotInterruptionFrame",
    "FunctionCallFromLLM",
    "MinWordsInterruptionStrategy",
    "RNNoiseFilter",
    "RTVIObserverParams",
    "StartInterruptionFrame",
    "TransportMessageFrame",
    "TransportMessageUrgentFrame",
    "main",
]


def main(*args: Any, **options: Any) -> NoReturn:
    """Pipecat's own runner, which is not there.

    Raises:
        UsageError: always.
    """
    raise UsageError("pipecat's runner is not installed: start the bot with `botrun FILE`")


class MinWordsInterruptionStrategy(MinWords):
    """Fewer words do not interrupt the bot."""

    def __init__(self, min_words: int) -> None:
        super().__init__(min_words)
