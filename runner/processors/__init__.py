"""Processors: the nodes of a pipeline."""

from runner.processors.base import FrameProcessor, ProcessorSetup, Replies
from runner.processors.context import LLMContext, LLMContextAggregatorPair

__all__ = ["FrameProcessor", "LLMContext", "LLMContextAggregatorPair", "ProcessorSetup", "Replies"]
