"""Subtitles: readable lines, broken where one would break them, and files that players take."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.processors.subtitles import (
    CUE_CHARS,
    LINE_CHARS,
    LONGEST_CUE_MS,
    PAUSE_MS,
    Cue,
    CueMaker,
    Word,
    in_order,
    lines,
    spread,
    srt,
    to_read,
    vtt,
)

SRT = re.compile(r"(?:\d+\n\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n(?:[^\n]+\n){1,2}\n)*", re.ASCII)
VTT = re.compile(
    r"(?:\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}\n(?:<v [^>\n]+>)?(?:(?!-->)[^\n<>]+\n){1,2}\n)*",
    re.ASCII,
)


def said(text: str, every_ms: int = 300) -> list[Cue]:
    maker, cues = CueMaker("bot"), list[Cue]()
    for number, word in enumerate(text.split()):
        cues += maker.word(Word(word, number * every_ms))
    return cues + maker.finish(len(text.split()) * every_ms)


def test_a_sentence_is_a_cue() -> None:
    assert said("It is a quarter to nine now. You may come in.") == [
        Cue("bot", 0, 2100, "It is a quarter to nine now."),
        Cue("bot", 2100, 3300, "You may come in."),
    ]


def test_short_sentences_share_a_cue() -> None:
    assert [cue.text for cue in said("Yes. Of course. I will do that.")] == [
        "Yes. Of course. I will do that."
    ]


def test_a_long_sentence_is_broken_behind_its_clause() -> None:
    text = "When the caller speaks for a long time, the line is broken behind a clause and nowhere else"
    assert said(text, 200)[0].text == "When the caller speaks for a long time,"


def test_a_pause_ends_a_cue_and_the_last_word_does_not_stand_for_ever() -> None:
    maker = CueMaker("bot")
    maker.word(Word("well", 0))
    assert maker.word(Word("then", 5000)) == [Cue("bot", 0, PAUSE_MS, "well")]
    assert maker.finish(9000) == [Cue("bot", 5000, 5000 + PAUSE_MS, "then")]


def test_the_growing_cue_can_be_seen() -> None:
    maker = CueMaker("bot")
    assert maker.growing is None
    maker.word(Word("good", 10))
    maker.word(Word("day", 300))
    assert maker.growing == Cue("bot", 10, 300, "good day")


def test_a_cue_of_two_lines_is_broken_near_its_middle_and_behind_a_comma() -> None:
    assert lines("short") == ["short"]
    assert lines("the first part of it is here, and the second one is there") == [
        "the first part of it is here,",
        "and the second one is there",
    ]


words = st.lists(st.text(alphabet="abcäß,.!?-<>&", min_size=1, max_size=14), min_size=1, max_size=60)


@given(words, st.integers(1, 4000))
def test_whatever_is_said_every_word_is_shown_once_in_lines_that_can_be_read(
    spoken: list[str], every_ms: int
) -> None:
    cues = said(" ".join(spoken), every_ms)
    assert " ".join(cue.text for cue in cues).split() == spoken
    for cue, following in zip(cues, [*cues[1:], None], strict=True):
        assert 0 < cue.end_ms - cue.start_ms <= LONGEST_CUE_MS + PAUSE_MS
        assert len(cue.text) <= CUE_CHARS
        assert following is None or cue.end_ms <= following.start_ms
        assert all(len(line) <= LINE_CHARS + 14 for line in lines(cue.text))
        assert len(lines(cue.text)) <= 2


@given(words)
def test_whatever_is_said_the_files_keep_their_syntax(spoken: list[str]) -> None:
    cues = said(" ".join([*spoken, "-->", "<b>"]))
    assert SRT.fullmatch("".join(srt(number, cue, "Bot") for number, cue in enumerate(cues, 1)))
    assert VTT.fullmatch(
        "".join(vtt(cue, "Bot & Co. <1>") for cue in cues).replace("&lt;", "(").replace("&gt;", ")")
    )


def test_the_files_look_as_players_know_them() -> None:
    cue = Cue("bot", 3_723_004, 3_725_000, "Fish & chips <now>.")
    assert srt(7, cue, "Bot") == "7\n01:02:03,004 --> 01:02:05,000\nBot: Fish & chips <now>.\n\n"
    assert vtt(cue, "Bot") == "01:02:03.004 --> 01:02:05.000\n<v Bot>Fish &amp; chips &lt;now&gt;.\n\n"
    assert vtt(cue, "").splitlines()[1] == "Fish &amp; chips &lt;now&gt;."


def test_an_utterance_without_word_times_is_spread_over_its_length() -> None:
    cues = spread(
        "user", "I would like a table for four people. And a chair for the cat, please.", 1000, 5000
    )
    assert [cue.text for cue in cues] == [
        "I would like a table for four people.",
        "And a chair for the cat, please.",
    ]
    assert (cues[0].start_ms, cues[-1].end_ms) == (1000, 5000)
    assert cues[1].start_ms == pytest.approx(3100, abs=100)


def test_what_is_only_read_stands_long_enough_to_be_read() -> None:
    (cue,) = to_read("bot", "Read me.", 100)
    assert cue.end_ms - cue.start_ms >= 1200


def test_cues_are_ordered_by_their_beginning() -> None:
    late, soon = Cue("user", 5, 9, "b"), Cue("bot", 1, 20, "a")
    assert in_order([late, soon]) == [soon, late]


def test_chinese_cues_are_spaced_as_written_and_broken_between_characters() -> None:
    text = "我们明天上午和后天下午都有空位，请告诉我您几位，什么时候来，需要不需要儿童座椅，"
    text += "以及您的电话号码，谢谢您的来电。"
    cues = spread("user", text, 0, 9000)
    assert "".join(cue.text for cue in cues) == text
    assert all(len(line) <= LINE_CHARS for cue in cues for line in lines(cue.text))
