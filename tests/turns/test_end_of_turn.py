"""The rules: which pauses end a turn."""

from __future__ import annotations

import pytest

from runner.turns import RuleTurnAnalyzer, TurnPauses

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
