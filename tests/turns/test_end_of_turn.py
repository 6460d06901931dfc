"""The rules: which pauses end a turn."""

from __future__ import annotations

import pytest

from runner.turns import RuleTurnAnalyzer, TurnPauses
from runner.turns.end_of_turn import LONGEST_WAIT_S, Speeches

PAUSES = TurnPauses(complete_s=0.2, unsure_s=0.5, unfinished_s=1.6)


@pytest.mark.parametrize(
    "text",
    [
        "What time is it?", "Book a table for two.", "yes", "No, thank you", "Stop!", "I don't want to",
        "My number is 0 7 9 4 4.", "Of course not.", "I'd like to", "Where are you from?", "I think so.",
    ],
)  # fmt: skip
def test_what_is_surely_complete_is_answered_after_a_short_pause(text: str) -> None:
    assert RuleTurnAnalyzer(PAUSES).pause_s(text) == PAUSES.complete_s


@pytest.mark.parametrize(
    "text",
    [
        "I would like a", "I would like, um", "not now but", "I went to the shop and", "well...",
        "My number is oh seven nine", "the code is 4 2", "it is because", "I want to go to", "Uh", "so,",
    ],
)  # fmt: skip
def test_what_surely_goes_on_is_given_time(text: str) -> None:
    assert RuleTurnAnalyzer(PAUSES).pause_s(text) == PAUSES.unfinished_s


@pytest.mark.parametrize(
    "text", ["what time is it now", "book a table", "I live in Berlin", "my number is 079442"]
)
def test_without_evidence_the_pause_is_between(text: str) -> None:
    assert RuleTurnAnalyzer(PAUSES).pause_s(text) == PAUSES.unsure_s


def test_by_default_the_vads_own_pause_is_enough_unless_something_follows() -> None:
    rules = RuleTurnAnalyzer()
    assert rules.pause_s("tell me a joke") == rules.pause_s("Tell me a joke.") == 0.0
    assert rules.pause_s("tell me a") > 1.0


def heard(*spans: tuple[float, float]) -> Speeches:
    speeches = Speeches()
    for began_at, stopped_at in spans:
        speeches.started(began_at)
        speeches.stopped(stopped_at)
    return speeches


def test_a_late_transcript_belongs_to_the_earliest_speech_without_one() -> None:
    speeches = heard((0.0, 1.0), (2.0, 3.0))
    assert speeches.transcribed(3.1) == 1
    assert speeches.waiting(3.1) == 3.0
    assert speeches.transcribed(4.5) == 2
    assert speeches.waiting(4.5) is None


def test_a_transcript_that_comes_during_later_speech_belongs_to_the_earlier() -> None:
    speeches = heard((0.0, 1.0))
    speeches.started(2.0)
    assert speeches.transcribed(2.6) == 1
    speeches.stopped(3.0)
    assert speeches.waiting(3.0) == 3.0


def test_times_of_words_decide() -> None:
    speeches = heard((0.0, 1.0), (2.0, 3.0))
    assert speeches.transcribed(3.5, spoken_at=2.1) == 2
    assert speeches.waiting(3.5) is None


def test_a_second_transcript_belongs_to_the_last_speech() -> None:
    speeches = heard((0.0, 1.0))
    assert (speeches.transcribed(0.8), speeches.transcribed(1.4)) == (1, 1)


def test_a_recogniser_that_was_late_is_waited_for_longer() -> None:
    speeches = heard((0.0, 1.0), (2.0, 3.0))
    before = speeches.wait_s
    speeches.transcribed(3.2)
    assert speeches.wait_s > before
    assert speeches.waiting(3.0 + 2.2) == 3.0


def test_speech_that_was_never_understood_is_given_up() -> None:
    speeches = heard((0.0, 1.0))
    assert speeches.waiting(1.0 + speeches.wait_s) is None
    speeches.started(20.0)
    assert speeches.transcribed(20.0 + LONGEST_WAIT_S) == 2


@pytest.mark.timeout(20)
def test_a_text_full_of_announced_numbers_does_not_hold_up_the_process() -> None:
    assert RuleTurnAnalyzer(PAUSES).pause_s("number " * 30_000) == PAUSES.unsure_s


def test_a_transcript_without_any_speech_has_no_number() -> None:
    assert Speeches().transcribed(1.0) == 0
