"""Processors: the nodes of a pipeline."""

from runner.processors.base import FrameProcessor, ProcessorSetup, Replies
from runner.processors.context import LLMContext, LLMContextAggregatorPair
from runner.processors.recorder import AudioRecorder
from runner.processors.subtitles import Subtitles

__all__ = [
    "AudioRecorder",
    "FrameProcessor",
    "LLMContext",
    "LLMContextAggregatorPair",
    "ProcessorSetup",
    "Replies",
    "Subtitles",
]
