"""Pipelines: a chain of processors, the task that runs it, and observers."""

from runner.pipeline.params import Observer, PipelineParams
from runner.pipeline.pipeline import ParallelPipeline, Pipeline
from runner.pipeline.runner import PipelineRunner
from runner.pipeline.task import PipelineTask

__all__ = [
    "Observer",
    "ParallelPipeline",
    "Pipeline",
    "PipelineParams",
    "PipelineRunner",
    "PipelineTask",
]
