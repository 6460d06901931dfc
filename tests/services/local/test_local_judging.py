"""The comparison of two paths that refuses what is no command."""

from __future__ import annotations

from runner.services.local.recogniser import Segment, asks, judge

BACKGROUND = [Segment("<sil>", 0, 29, -60), Segment("zzT", 30, 49, -40), Segment("zzAY", 50, 99, -100)]


def command(*scores: float) -> list[Segment]:
    return [
        Segment("<sil>", 0, 29, scores[0]),
        Segment("count", 30, 59, scores[1]),
        Segment("ten", 60, 99, scores[2]),
    ]


def test_a_path_as_good_as_the_background_is_a_command() -> None:
    assert judge(command(-60, -60, -80), BACKGROUND) > 0


def test_the_worse_the_path_the_lower_the_score() -> None:
    scores = [judge(command(-60, -60 - loss, -80 - loss), BACKGROUND) for loss in (0, 50, 100, 200)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0


def test_no_words_or_no_background_is_refused() -> None:
    assert judge([], BACKGROUND) < 0
    assert judge([Segment("<sil>", 0, 99, -10)], BACKGROUND) < 0
    assert judge([Segment("[NOISE]", 0, 99, -10)], BACKGROUND) < 0
    assert judge(command(-60, -60, -80), []) < 0


def test_paths_of_different_length_can_be_compared() -> None:
    assert judge(command(-60, -60, -80), BACKGROUND[:-1]) < judge(command(-60, -60, -80), BACKGROUND)


def said(word: str, score: float) -> list[Segment]:
    return [Segment("<sil>", 0, 29, -60), Segment(word, 30, 69, score), Segment("<sil>", 70, 99, -60)]


def test_what_fits_asking_better_than_murmuring_asks() -> None:
    assert asks(said("okay", -200), said("stop", -80), BACKGROUND) > 0
    assert asks(said("okay", -80), said("stop", -200), BACKGROUND) < 0


def test_what_fits_neither_is_decided_by_the_other_and_what_is_no_speech_asks_for_nothing() -> None:
    assert asks([], said("stop", -80), BACKGROUND) > 0
    assert asks(said("okay", -80), [], BACKGROUND) < 0
    assert asks(said("okay", -80), said("stop", -80), [Segment("<sil>", 0, 99, -10)]) < 0
