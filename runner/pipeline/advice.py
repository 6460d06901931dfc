"""What a pipeline lacks, such as VAD or input: reported once, when a call begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from runner.botcode.location import describe
from runner.processors.aggregators import LLMUserAggregator
from runner.processors.base import FrameProcessor
from runner.services.llm import LLMService
from runner.services.stt import STTService
from runner.services.tts import TTSService
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport


def missing_parts(processors: Iterable[FrameProcessor]) -> Iterator[str]:
    """Sentences about what this pipeline cannot do, and what to write."""
    row = list(processors)
    source = next((p for p in row if isinstance(p, BaseInputTransport)), None)
    sink = next((p for p in row if isinstance(p, BaseOutputTransport)), None)
    if source is None:
        yield "the bot hears nothing: put transport.input() at the beginning of its pipeline"
    if sink is None:
        yield "nobody hears the bot: put transport.output() near the end of its pipeline"
    if source is not None:
        yield from _deaf(source, [p for p in row if isinstance(p, STTService)])
    if sink is not None and not sink.params.audio_out_enabled and any(isinstance(p, TTSService) for p in row):
        yield "nobody hears the bot's voice: give its TransportParams audio_out_enabled=True"
    yield from _faulty_tools(row)


def _faulty_tools(row: Sequence[FrameProcessor]) -> list[str]:
    """Tools that cannot be described to the model; otherwise found at the first question only."""
    model = next((p for p in row if isinstance(p, LLMService)), None)
    if model is None:
        return []
    brought = [p.context.tools for p in row if isinstance(p, LLMUserAggregator)]
    each = [_fault(model, [tool]) for tools in brought for tool in tools]
    together = [] if any(each) else [_fault(model, tools) for tools in brought]
    return [fault for fault in (*each, *together) if fault]


def _fault(model: LLMService, tools: Sequence[Any]) -> str:
    try:
        model.toolbox.definitions(tools)
    except Exception as error:  # the boundary to what is written in the tools' signatures
        return describe(error)
    return ""


def _deaf(source: BaseInputTransport, recognisers: Sequence[STTService]) -> Iterator[str]:
    if recognisers and not source.params.audio_in_enabled:
        yield "the bot hears nothing: give its TransportParams audio_in_enabled=True"
    elif source.params.vad_analyzer is None and any(map(_needs_turns, recognisers)):
        yield (
            "the bot never answers, because nothing detects when the caller stops speaking: "
            "give its TransportParams vad_analyzer=SileroVADAnalyzer()"
        )


def _needs_turns(recogniser: STTService) -> bool:
    """Whether it gives its final words when the VAD hears speech end."""
    return type(recogniser).speech_ended is not STTService.speech_ended
