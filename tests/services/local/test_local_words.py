"""Word times, from positions that are not quite ours."""

from __future__ import annotations

from runner.services.common.spoken_text import Word, WordPlacer
from runner.services.local.tts import JOB_CHARS, pieces


def test_each_word_begins_where_the_voice_reaches_it() -> None:
    placer = WordPlacer("It is late.")
    assert placer.reached(0, 0) == [Word("It", 0)]
    assert placer.reached(3, 104) == [Word("is", 104)]
    assert placer.reached(6, 247) == [Word("late.", 247)]
    assert placer.finish() == []


def test_one_word_that_the_voice_says_as_three_begins_with_the_first() -> None:
    placer = WordPlacer("at 3:45 today")
    placer.reached(0, 0)
    found = [placer.reached(position, position * 10) for position in (3, 4, 5, 8)]
    assert found == [[Word("3:45", 30)], [], [], [Word("today", 80)]]


def test_words_that_the_voice_passes_over_begin_with_the_next() -> None:
    placer = WordPlacer("one — of the days")
    placer.reached(0, 0)
    assert placer.reached(10, 500) == [Word("—", 500), Word("of", 500), Word("the", 500)]
    assert placer.finish() == [Word("days", 500)]


def test_times_never_go_back() -> None:
    placer = WordPlacer("a b c")
    assert [placer.reached(i, ms)[0].offset_ms for i, ms in ((0, 10), (2, 300), (4, 250))] == [10, 300, 300]


def test_a_long_text_is_cut_behind_sentences_and_loses_nothing() -> None:
    text = "A sentence of some length is here. " * 40
    cut = pieces(text)
    assert "".join(cut) == text
    assert all(len(piece) <= JOB_CHARS and piece.rstrip().endswith(".") for piece in cut)


def test_a_long_text_without_sentences_or_spaces_is_cut_all_the_same() -> None:
    assert [len(piece) for piece in pieces("x" * (2 * JOB_CHARS + 1))] == [JOB_CHARS, JOB_CHARS, 1]
    assert "".join(pieces("word " * 200)) == "word " * 200
    assert pieces("  ") == []
