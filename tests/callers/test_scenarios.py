"""Scenarios are checked before the phone rings; errors name file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.callers.scenario import find_scenario, load_scenario, shipped
from runner.callers.scenario.steps import (
    Expect,
    HangUp,
    Press,
    Say,
    SpeakOver,
    StaySilent,
    Wait,
    WaitForSilence,
)
from runner.callers.sound.line import Line
from runner.errors import UsageError

WHOLE = """
about: Says a little of everything.
line: {noise: 20, loss: 2.5, jitter: 40ms, bad_mic: true, lose_marks: yes, seed: 7}
parameters: {customer: "17"}
steps:
  - wait_for_silence
  - wait_for_silence: 1s
  - wait_for_silence: {for: 200ms, at_most: 4s}
  - say: Yes
  - say: {text: "What time is it?", speed: 300}
  - wait: 1.5
  - press: "1#"
  - interrupt: {after: 700ms, say: Stop!}
  - murmur: mm-hmm
  - stay_silent: 2s
  - expect: {words: [time, o'clock], answer_within: 2s, hangs_up: no, keys: "12", within: 3s}
  - expect: {understood: ""}
  - expect: {understood: [yes, time]}
  - hang_up: {while_saying: I would like, after: 300ms}
"""


def test_a_scenario_says_what_the_caller_does(tmp_path: Path) -> None:
    path = tmp_path / "whole.yaml"
    path.write_text(WHOLE)
    scenario = load_scenario(path)
    assert scenario.name == "whole"
    assert scenario.line == Line(
        noise_db=20, loss_pct=2.5, jitter_ms=40, bad_mic=True, lose_marks=True, seed=7
    )
    assert scenario.parameters == (("customer", "17"),)
    assert scenario.steps == (
        WaitForSilence(line=6),
        WaitForSilence(quiet_s=1, line=7),
        WaitForSilence(quiet_s=0.2, at_most_s=4, line=8),
        Say(text="Yes", line=9),
        Say(text="What time is it?", speed=300, line=10),
        Wait(seconds=1.5, line=11),
        Press(keys="1#", line=12),
        SpeakOver(text="Stop!", after_s=0.7, line=13),
        SpeakOver(text="mm-hmm", murmur=True, line=14),
        StaySilent(seconds=2, line=15),
        Expect(words=("time", "o'clock"), answer_within_s=2, hangs_up=False, keys="12", within_s=3, line=16),
        Expect(understood=("",), line=17),
        Expect(understood=("yes", "time"), line=18),
        HangUp(text="I would like", after_s=0.3, line=19),
    )


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "this file is empty"),
        ("steps: []", 1, "a scenario needs at least one step"),
        ("about: x", 1, "a scenario needs steps"),
        ("steps: 7", 1, "steps must be a list"),
        ("- a\n- b", 1, "a scenario must be `name: value` pairs"),
        ("steps:\n  - sya: Hello", 2, "there is no step 'sya'"),
        ("steps:\n  - say: Hello\n    wait: 1s", 2, "a step is one thing"),
        ("steps:\n  - say", 2, "say needs a value, as in `say: …`"),
        ("steps:\n  - say: [a]", 2, "say must be a text"),
        ("steps:\n  - say: {text: a, sped: 3}", 2, "say has no 'sped'"),
        ("steps:\n  - say: {speed: 100}", 2, "say needs 'text'"),
        ("steps:\n  - say: {text: a, speed: 9000}", 2, "speed must be a number from 80 to 450"),
        ("steps:\n  - wait: soon", 2, "wait must be a duration such as 700ms or 1.5s"),
        ("steps:\n  - wait: 5h", 2, "wait must be a duration"),
        ("steps:\n  - wait: 90min", 2, "wait must be 3600 s at most"),
        ("steps:\n\n  - press: 1x", 3, "'1X' are not phone keys"),
        ("steps:\n  - wav: nowhere.wav", 2, "there is no file"),
        ("steps:\n  - hang_up: now", 2, "hang_up must be `name: value` pairs"),
        ("steps:\n  - expect: {underruns: some}", 2, "underruns must be a number"),
        ("steps:\n  - expect: {hangs_up: maybe}", 2, "hangs_up must be true or false"),
        ("steps:\n  - wait: 1s\nsteps:\n  - wait: 1s", 3, "'steps' appears twice"),
        ("line: {jitter: 40}\nsteps: [hang_up]", 1, "jitter must be 2 s at most"),
        ("line: {loss: 120}\nsteps: [hang_up]", 1, "loss must be a number from 0 to 100"),
        ("steps:\n  - say: 'a", 2, "this is not YAML"),
        ("steps:\n  - say: !!python/object:os.system x", 2, ""),
    ],
)
def test_what_is_wrong_is_reported_in_one_sentence_with_its_line(
    text: str, line: int, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    if not sentence:  # a tag makes nothing here: it is read as the text that it stands before
        assert load_scenario(path).steps == (Say(text="x", line=2),)
        return
    with pytest.raises(UsageError) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_scenario(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_scenario(tmp_path / "absent.yaml")


def test_a_dozen_scenarios_come_along_and_all_are_well_made() -> None:
    assert len(shipped()) >= 12
    for name in shipped():
        scenario = find_scenario(name)
        assert scenario.about
        assert scenario.steps


def test_a_missing_name_is_reported_with_its_likeliest_meaning() -> None:
    with pytest.raises(UsageError, match=r"there is no 'ordinry'.*ordinary"):
        find_scenario("ordinry")
