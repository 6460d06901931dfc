"""Who is let in: each strategy, on what is known at a time."""

from __future__ import annotations

import pytest

from runner.errors import UsageError
from runner.turns import Confirm, Decision, InterruptionStrategy, MinWords, NoInterruptions, Overlap, Speech
from runner.turns.interruption import strategy_of

WAIT, PAUSE, INTERRUPT, DISMISS = Decision.WAIT, Decision.PAUSE, Decision.INTERRUPT, Decision.DISMISS


def test_any_speech_interrupts_by_default() -> None:
    assert Speech().decide(Overlap(1.0), 1.2) is INTERRUPT


def test_nothing_interrupts_a_bot_that_is_not_to_be_interrupted() -> None:
    assert NoInterruptions().decide(Overlap(1.0, text="stop stop stop"), 9.0) is WAIT


@pytest.mark.parametrize(
    ("overlap", "now", "expected"),
    [
        (Overlap(1.0), 1.2, WAIT),
        (Overlap(1.0, text="no wait"), 2.0, WAIT),
        (Overlap(1.0, text="no wait please"), 2.0, INTERRUPT),
        (Overlap(1.0, 2.0, text="no wait", final=True), 2.4, DISMISS),
        (Overlap(1.0, 2.0, text="no"), 2.4, WAIT),
        (Overlap(1.0, 2.0), 3.5, DISMISS),
    ],
)
def test_so_many_words_interrupt(overlap: Overlap, now: float, expected: Decision) -> None:
    assert MinWords(3).decide(overlap, now) is expected


@pytest.mark.parametrize(
    ("overlap", "now", "expected"),
    [
        (Overlap(1.0), 1.2, PAUSE),
        (Overlap(1.0, text="mm-hmm"), 1.6, PAUSE),
        (Overlap(1.0, 1.5), 1.9, PAUSE),
        (Overlap(1.0, 1.5, text="Mm-hmm, yeah.", final=True), 2.0, DISMISS),
        (Overlap(1.0, 1.4, final=True), 2.0, DISMISS),
        (Overlap(1.0, 1.4), 2.2, DISMISS),
        (Overlap(1.0, text="wait"), 1.5, INTERRUPT),
        (Overlap(1.0, 1.5, text="Okay stop.", final=True), 1.9, INTERRUPT),
        (Overlap(1.0), 2.4, INTERRUPT),
        (Overlap(1.0, text="yeah right"), 2.0, PAUSE),
        (Overlap(1.0, 1.9, final=True), 2.3, INTERRUPT),
        (Overlap(2.0, spoken_before_s=1.0), 2.5, INTERRUPT),
    ],
)
def test_the_bot_pauses_until_it_is_known_what_it_was(
    overlap: Overlap, now: float, expected: Decision
) -> None:
    assert Confirm().decide(overlap, now) is expected


@pytest.mark.parametrize("strategy", [MinWords(3), Confirm()])
def test_nobody_waits_for_ever(strategy: InterruptionStrategy) -> None:
    overlap = Overlap(1.0, stopped_at=1.3)
    again = strategy.look_again_at(overlap, 1.7)
    assert again is not None
    assert strategy.decide(overlap, again) in (DISMISS, INTERRUPT)


def test_a_confirming_bot_looks_again_when_speech_has_become_long() -> None:
    overlap = Overlap(1.0)
    again = Confirm().look_again_at(overlap, 1.2)
    assert again is not None
    assert Confirm().decide(overlap, again) is INTERRUPT


def test_speech_that_goes_on_counts_with_what_was_before() -> None:
    overlap = Overlap(1.0, stopped_at=1.5, text="mm", final=True)
    overlap.go_on(1.8)
    assert overlap.spoken_s(2.0) == pytest.approx(0.7)
    assert (overlap.stopped_at, overlap.final) == (None, False)


def test_strategies_have_names() -> None:
    assert [type(strategy_of(name)) for name in ("speech", "min_words", "confirm", "none")] == [
        Speech, MinWords, Confirm, NoInterruptions,
    ]  # fmt: skip
    with pytest.raises(UsageError, match="min_words"):
        strategy_of("loud")


def test_a_doubtful_word_in_short_speech_is_taken_for_a_murmur() -> None:
    strategy = Confirm(least_confidence=2.6)
    for confidence, expected in ((0.6, DISMISS), (5.0, INTERRUPT), (None, INTERRUPT)):
        overlap = Overlap(1.0, stopped_at=1.4)
        overlap.hear("hello", final=True, confidence=confidence)
        assert strategy.decide(overlap, 2.0) is expected


@pytest.mark.parametrize(
    ("murmur", "text", "expected"),
    [(True, "hello", DISMISS), (True, "", DISMISS), (False, "", INTERRUPT), (False, "okay", INTERRUPT)],
)
def test_a_recogniser_that_distinguishes_murmurs_from_words_is_believed(
    murmur: bool, text: str, expected: Decision
) -> None:
    overlap = Overlap(1.0, stopped_at=1.4)
    overlap.hear(text, final=True, murmur=murmur)
    assert Confirm().decide(overlap, 2.0) is expected


def test_a_murmur_after_what_was_none_is_still_none() -> None:
    overlap = Overlap(1.0, stopped_at=1.4)
    overlap.hear("", final=True, murmur=False)
    overlap.hear("", final=True, murmur=True)
    assert overlap.murmur is False


def test_a_murmur_may_go_on_for_longer_than_other_speech() -> None:
    overlap = Overlap(1.0, stopped_at=1.6)
    overlap.hear("hello", final=True, murmur=True)
    overlap.go_on(1.8)
    assert Confirm().decide(overlap, 2.6) is PAUSE
    again = Confirm().look_again_at(overlap, 2.6)
    assert again is not None
    assert Confirm().decide(overlap, again) is INTERRUPT


def test_at_the_time_at_which_it_wants_to_be_asked_again_speech_is_long() -> None:
    for step in range(2000):
        overlap = Overlap(step * 0.0317, spoken_before_s=step % 7 * 0.11)
        again = Confirm().look_again_at(overlap, overlap.began_at)
        assert again is not None
        assert Confirm().decide(overlap, again) is INTERRUPT, step
