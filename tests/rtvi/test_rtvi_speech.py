"""How far the bot has got: words that were heard, in segments that were announced."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.rtvi.speech import Segment, Speech


def shown(segments: list[Segment]) -> list[tuple[int, str, str]]:
    return [(segment.id, segment.spoken_text, segment.status) for segment in segments]


def test_words_move_through_their_segment() -> None:
    speech = Speech()
    assert speech.announce(1, "It is late, my friend.").status == "new"
    assert shown(speech.word(1, "It")) == [(1, "It", "in-progress")]
    assert shown(speech.word(1, "is")) == [(1, "It is", "in-progress")]
    assert shown(speech.word(1, "late")) == [(1, "It is late,", "in-progress")]
    assert shown(speech.word(1, "my")) == [(1, "It is late, my", "in-progress")]
    assert shown(speech.word(1, "friend")) == [(1, "It is late, my friend.", "completed")]


def test_a_word_is_not_found_inside_another() -> None:
    speech = Speech()
    speech.announce(1, "That cat sat at a mat.")
    assert shown(speech.word(1, "at")) == [(1, "That cat sat at", "in-progress")]
    assert shown(speech.word(1, "a")) == [(1, "That cat sat at a", "in-progress")]


def test_a_word_that_is_spoken_otherwise_than_written_does_not_lose_the_place() -> None:
    speech = Speech()
    speech.announce(1, "It is 9 o'clock.")
    speech.word(1, "is")
    assert speech.word(1, "nine") == []
    assert shown(speech.word(1, "o'clock")) == [(1, "It is 9 o'clock.", "completed")]


def test_the_next_segment_begins_when_its_words_are_heard() -> None:
    speech = Speech()
    speech.announce(1, "At 9.")
    speech.announce(1, "Then tea.")
    speech.word(1, "At")
    assert shown(speech.word(1, "Then")) == [(1, "At 9.", "completed"), (2, "Then", "in-progress")]


def test_a_word_that_stands_deep_in_the_next_segment_does_not_end_this_one() -> None:
    speech = Speech()
    speech.announce(1, "It is 1 now.")
    speech.announce(1, "Afterwards there will be only one.")
    speech.word(1, "is")
    assert speech.word(1, "one") == []
    assert shown(speech.word(1, "now")) == [(1, "It is 1 now.", "completed")]


def test_silence_completes_what_had_no_word_times() -> None:
    speech = Speech()
    speech.announce(1, "One.")
    speech.announce(1, "Two.")
    speech.word(1, "One")
    assert shown(speech.finish()) == [(2, "Two.", "completed")]
    assert speech.finish() == []


def test_after_an_interruption_nothing_is_completed_but_late_words_still_count() -> None:
    speech = Speech()
    speech.announce(1, "One two three.")
    speech.word(1, "One")
    speech.cut()
    assert shown(speech.word(1, "two")) == [(1, "One two", "in-progress")]
    assert speech.finish() == []


def test_a_new_reply_after_an_interruption_does_not_inherit_the_old_one() -> None:
    speech = Speech()
    speech.announce(1, "One two three.")
    speech.cut()
    speech.announce(2, "Two and a half.")
    assert shown(speech.word(2, "Two")) == [(2, "Two", "in-progress")]
    assert shown(speech.finish()) == [(2, "Two and a half.", "completed")]


def test_a_voice_that_reports_no_text_is_followed_by_its_words() -> None:
    speech = Speech()
    speech.announce(1, "")
    assert shown(speech.word(1, "Good")) == [(1, "Good", "in-progress")]
    assert shown(speech.word(1, "day.")) == [(1, "Good day.", "in-progress")]
    assert shown(speech.finish()) == [(1, "Good day.", "completed")]


def test_words_of_no_announced_reply_make_a_segment() -> None:
    assert shown(Speech().word(3, "Hm")) == [(1, "Hm", "in-progress")]


words = st.lists(st.text(alphabet="abcäß19'-.", min_size=1, max_size=5), min_size=1, max_size=12)


@given(st.lists(words, max_size=4), words)
def test_whatever_is_said_progress_only_goes_forward(sentences: list[list[str]], heard: list[str]) -> None:
    speech, place = Speech(), {}
    for sentence in sentences:
        speech.announce(1, " ".join(sentence))
    for word in heard:
        for segment in speech.word(1, word):
            assert segment.heard >= place.get(segment.id, 0)
            assert segment.heard <= len(segment.text)
            place[segment.id] = segment.heard


def test_chinese_advances_by_character_and_keeps_its_punctuation() -> None:
    speech = Speech()
    speech.announce(1, "你好，世界。")
    heard = [speech.word(1, word, joined=True)[-1].spoken_text for word in ("你", "好，", "世", "界。")]
    assert heard == ["你", "你好，", "你好，世", "你好，世界。"]


def test_thai_letters_keep_their_marks() -> None:
    speech = Speech()
    speech.announce(1, "สวัสดี")
    assert [speech.word(1, word, joined=True)[-1].spoken_text for word in ("ส", "วั", "ส", "ดี")][-2:] == [
        "สวัส",
        "สวัสดี",
    ]


def test_a_segment_that_was_not_announced_grows_as_its_script_is_written() -> None:
    speech = Speech()
    speech.word(1, "你")
    assert speech.word(1, "好", joined=True)[-1].text == "你好"
