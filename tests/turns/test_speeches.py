from __future__ import annotations

from runner.turns.speeches import LONGEST_WAIT_S, Speeches


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


def test_a_transcript_without_any_speech_has_no_number() -> None:
    assert Speeches().transcribed(1.0) == 0
