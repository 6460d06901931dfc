"""Processors: the nodes of a pipeline. Those that need numpy are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.processors.aggregators import LLMContextAggregatorPair
from runner.processors.base import FrameProcessor, ProcessorSetup
from runner.processors.context import LLMContext, OpenAILLMContext, Summarize
from runner.processors.floor_state import Replies

if TYPE_CHECKING:
    from runner.processors.recorder import AudioRecorder
    from runner.processors.subtitles import Subtitles

__all__ = [
    "AudioRecorder",
    "FrameProcessor",
    "LLMContext",
    "LLMContextAggregatorPair",
    "OpenAILLMContext",
    "ProcessorSetup",
    "Replies",
    "Subtitles",
    "Summarize",
]

_LATER = {
    "AudioRecorder": "runner.processors.recorder",
    "Subtitles": "runner.processors.subtitles",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LATER[name]), name)
