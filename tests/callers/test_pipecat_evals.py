"""Scenario files of Pipecat's evals are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.callers.scenario import find_scenario, load_scenario
from runner.callers.scenario.steps import Expect, PlayPersona, Press, Say, SpeakOver, WaitForSilence
from runner.errors import UsageError

SCRIPT = """
name: travel
judge: !include judge.yaml
scenarios:
  - name: capital
    turns:
      - expect:
          - event: response
            eval: "the bot greets the caller"
      - user: "Tell me a long story about Paris."
        expect:
          - event: llm_started
      - user: "What is the capital of Japan?"
        send_after: {event: llm_started, delay_ms: 2000}
        expect:
          - event: bot_interrupted
          - event: user_transcription
            text_contains: capital of Japan
          - event: response
            text_contains: Tokyo
            within_ms: 8000
            eval: "it says Tokyo"
      - dtmf: 012
        expect:
          - event: function_call
            calls: [{name: look_up, args: {number: "012"}}]
  - name: diner
    persona: "Jamie, friendly"
    goal: "Book a table for two"
    success: "the bot confirmed the table"
    max_turns: 6
"""


def write(folder: Path) -> Path:
    (folder / "judge.yaml").write_text("eval: {service: ollama, model: gemma4}\n")
    path = folder / "travel.yaml"
    path.write_text(SCRIPT)
    return path


def test_turns_become_steps_and_criteria_rules(tmp_path: Path) -> None:
    scenario = find_scenario(f"{write(tmp_path)}:capital")
    kinds = [type(step) for step in scenario.steps]
    assert kinds[:4] == [WaitForSilence, Expect, WaitForSilence, Say]
    over = next(step for step in scenario.steps if isinstance(step, SpeakOver))
    assert (over.text, over.after_s) == ("What is the capital of Japan?", 2.0)
    expects = [step for step in scenario.steps if isinstance(step, Expect)]
    assert [step.stops_within_s for step in expects if step.stops_within_s] == [3.0]
    assert [step.understood for step in expects if step.understood] == [("capital of Japan",)]
    assert [(step.words, step.answer_within_s) for step in expects if step.words] == [(("Tokyo",), 8.0)]
    assert [step.keys for step in scenario.steps if isinstance(step, Press)] == ["012"]
    assert [step.tools for step in expects if step.tools] == [("look_up",)]
    assert scenario.evaluation.rules == (
        "At first, the bot greets the caller",
        "When the caller says “What is the capital of Japan?”, it says Tokyo",
    )
    assert (scenario.evaluation.base_url, scenario.evaluation.model) == (
        "http://127.0.0.1:11434/v1",
        "gemma4",
    )


def test_a_persona_plays_the_caller(tmp_path: Path) -> None:
    scenario = find_scenario(f"{write(tmp_path)}:diner")
    (step,) = scenario.steps
    assert isinstance(step, PlayPersona)
    assert (step.persona, step.goal, step.most_turns) == ("Jamie, friendly", "Book a table for two", 6)
    assert scenario.evaluation.rules == ("the bot confirmed the table",)


def test_one_of_several_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(
        UsageError, match=r"has the scenarios capital, diner: name one, as in .*travel\.yaml:capital"
    ):
        load_scenario(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "scenarios: [{name: a, turns: [{user: hi, expect: [{event: image}]}]}]",
            "the event image cannot be checked",
        ),
        ("context: []\nscenarios: [{name: a, turns: []}]", "context cannot be given"),
        ("scenarios: [{name: a, persona: Jo}]", "a persona needs a goal"),
    ],
)
def test_what_the_phone_cannot_do_is_refused_with_its_line(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"a\.yaml:\d+: {sentence}"):
        load_scenario(tmp_path / "a.yaml")
