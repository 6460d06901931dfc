"""What a turn's latency was made of: parts that add up to it."""

from __future__ import annotations

import asyncio

import pytest

from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.pipeline.latency import TurnParts
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.sessions.stats import CallFigures, enter_call
from runner.testing import FakeTransport, ScriptedLLM, ScriptedTTS, run_virtual


def test_parts_add_up_and_one_that_was_not_seen_belongs_to_the_next() -> None:
    parts = TurnParts()
    parts.begin()
    parts.end("pause", 10.4)
    parts.end("model", 10.7)
    parts.end("model", 99.0)
    assert parts.cut(10.0, 11.0) == pytest.approx({"pause": 0.4, "model": 0.3, "line": 0.3})


def test_a_part_that_ended_before_the_turn_takes_nothing() -> None:
    parts = TurnParts()
    parts.end("ears", 9.0)
    assert parts.cut(10.0, 10.2) == pytest.approx({"ears": 0.0, "line": 0.2})


def test_what_was_made_of_a_reply_that_is_thrown_away_is_not_part_of_the_turn() -> None:
    parts = TurnParts()
    for part, at in (("ears", 10.1), ("model", 10.2), ("voice", 10.3)):
        parts.end(part, at)
    parts.forget_reply()
    parts.end("model", 10.6)
    assert parts.cut(10.0, 11.0) == pytest.approx({"ears": 0.1, "model": 0.5, "line": 0.4})


def test_a_turns_parts_are_those_of_its_services() -> None:
    figures = CallFigures()

    async def call() -> None:
        enter_call(figures)
        transport = FakeTransport()
        memory = LLMContextAggregatorPair(LLMContext())
        row = [
            transport.input(), memory.user(), ScriptedLLM(["hello there."], first_s=0.15),
            ScriptedTTS(first_s=0.08), transport.output(), memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(row))
        running = asyncio.create_task(PipelineRunner().run(task))
        await asyncio.sleep(0.1)
        await transport.caller.say("hello")
        await asyncio.sleep(2)
        await task.stop_when_done()
        await running

    run_virtual(call())
    expected = {"pause": 0, "ears": 0, "model": 0.15, "voice": 0.08, "line": 0}
    assert figures.last_turn == pytest.approx(expected, abs=0.002)
    assert sum(figures.last_turn.values()) == pytest.approx(figures.turn_s[-1])
