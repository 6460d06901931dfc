from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.services.common.spoken_text import LONGEST_CHARS, Piece, SentenceAggregator, cut, for_speech
from runner.services.tts import spread_words
from runner.turns.segments import join_units


def pieces(text: str, step: int = 3) -> list[str]:
    aggregator = SentenceAggregator()
    found = [piece for i in range(0, len(text), step) for piece in aggregator.feed(text[i : i + step])]
    return [piece.text for piece in (*found, *aggregator.flush())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("It costs 3.50 euros. Fine!", ["It costs 3.50 euros.", "Fine!"]),
        ("Ask Dr. Smith. He knows.", ["Ask Dr. Smith.", "He knows."]),
        ('She said "no." Then left.', ['She said "no."', "Then left."]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ("One line\nanother", ["One line", "another"]),
        ("你好。再见！", ["你好。", "再见！"]),
        ("no end at all", ["no end at all"]),
        ("", []),
        ("We open at 9 a.m. on Monday. Come!", ["We open at 9 a.m. on Monday.", "Come!"]),
        ("We open at 9 a.m. Come in!", ["We open at 9 a.m.", "Come in!"]),
        ("No. We are closed.", ["No.", "We are closed."]),
        ("It is No. 5. Yes.", ["It is No. 5.", "Yes."]),
        ("See J. Smith. So do I. Good.", ["See J. Smith.", "So do I.", "Good."]),
        ("1. Soup\n2. Fish", ["1. Soup", "2. Fish"]),
        ("At 10:30 it costs 1,000.5 in all. Fine.", ["At 10:30 it costs 1,000.5 in all.", "Fine."]),
        ("Look at www.a.example/b?c=d.e for it. Bye.", ["Look at www.a.example/b?c=d.e for it.", "Bye."]),
        (
            "您好，我可以帮您预约明天，或者后天。好吗？",
            ["您好，我可以帮您预约明天，", "或者后天。", "好吗？"],
        ),
        ("「はい。」と言いました。", ["「はい。」", "と言いました。"]),
        ("**Sure!** I can *help*.", ["Sure!", "I can help."]),
        ("Well, yes. Then, after some time, no.", ["Well, yes.", "Then, after some time, no."]),
        (
            "If you come a little earlier, we can talk. Or later, if that suits you better.",
            ["If you come a little earlier,", "we can talk.", "Or later, if that suits you better."],
        ),
    ],
)
def test_text_is_cut_where_a_voice_would_pause(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_a_sentence_without_end_is_cut_at_a_clause() -> None:
    text = "Yes. " + "and then we went on to the next house, " * 10
    assert [len(piece) <= 260 for piece in pieces(text)] == [True] * len(pieces(text))
    assert len(pieces(text)) >= 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Bold** and *soft* and __this__ and _that_.", "Bold and soft and this and that."),
        ("# Title", "Title"),
        ("- one", "one"),
        ("• one", "one"),
        ("> quoted", "quoted"),
        ("Use `print` now", "Use print now"),
        ("See [our page](https://a.example/x?y=z).", "See our page."),
        ("See https://www.a.example/very/long?path=1, please.", "See a.example, please."),
        ("Great 😊! See you 👍🏽👨‍👩‍👧.", "Great! See you."),
        ("2 * 3 is 6, my_name stays", "2 * 3 is 6, my_name stays"),
        ("It is 20 °C – fine.", "It is 20 °C – fine."),
        ("| a | b |", "a b"),
        ("---", ""),
        ("-5 degrees", "-5 degrees"),
        ("plain", "plain"),
        ("网址是https://www.a.cn/x?y=1。请看", "网址是a.cn。请看"),
        ("見て（https://a.jp/x）ね", "見て（a.jp）ね"),
    ],
)
def test_what_cannot_be_said_is_taken_out(text: str, said: str) -> None:
    assert for_speech(text) == said


@given(st.text(alphabet="ab .,!?\n", max_size=80), st.integers(1, 9))
def test_no_word_is_lost_and_none_added(text: str, step: int) -> None:
    assert "".join(pieces(text, step)).replace(" ", "").replace("\n", "") == "".join(text.split())


def test_words_are_spread_in_order_from_the_beginning() -> None:
    words = spread_words("the cat and the dog")
    assert [word.text for word in words] == ["the", "cat", "and", "the", "dog"]
    offsets = [word.audio_offset_ms or 0.0 for word in words]
    assert offsets[0] == 0
    assert offsets == sorted(offsets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("شکریہ جناب۔ پھر ملیں گے۔", ["شکریہ جناب۔", "پھر ملیں گے۔"]),
        ("هل أنت هناك؟ نعم.", ["هل أنت هناك؟", "نعم."]),
        ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
        ("Բարև։ Ինչպես եք։", ["Բարև։", "Ինչպես եք։"]),
        ("ሰላም። እንዴት ነህ፧", ["ሰላም።", "እንዴት ነህ፧"]),
        ("မင်္ဂလာပါ။ နေကောင်းလား။", ["မင်္ဂလာပါ။", "နေကောင်းလား။"]),
        ("សួស្តី។ សុខសប្បាយទេ៕", ["សួស្តី។", "សុខសប្បាយទេ៕"]),
        ("Τι κάνεις; Καλά.", ["Τι κάνεις;", "Καλά."]),
        ("「はい。」「いいえ。」", ["「はい。」", "「いいえ。」"]),
        ("שלום לך. מה שלומך?", ["שלום לך.", "מה שלומך?"]),
        ("བཀྲ་ཤིས་བདེ་ལེགས། བདེ་པོ་ཡིན་པས།", ["བཀྲ་ཤིས་བདེ་ལེགས།", "བདེ་པོ་ཡིན་པས།"]),
        ("Он придёт, т.е. завтра. Да, и т.д. Хорошо.", ["Он придёт, т.е. завтра.", "Да, и т.д.", "Хорошо."]),
        ("La Sra. Ruiz y la Dra. Gil. Sí.", ["La Sra. Ruiz y la Dra. Gil.", "Sí."]),
        ("Das ist z.B. groß bzw. klein. Ja.", ["Das ist z.B. groß bzw. klein.", "Ja."]),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_sentences_end_in_every_script(text: str, expected: list[str], step: int) -> None:
    assert pieces(text, step) == expected


@pytest.mark.parametrize("step", [7, 100_000])
@pytest.mark.parametrize(
    "text",
    [
        "ได้ครับ พรุ่งนี้เช้าเรามีโต๊ะว่างสำหรับสองคน " * 60,
        "พรุ่งนี้เช้าเรามีโต๊ะว่างสำหรับสองคน" * 60,
        "ស្អែកព្រឹកយើងមានតុទំនេរ " * 80,
        "မနက်ဖြန်မနက်စားပွဲရှိပါတယ် " * 80,
        "我们明天上午有空位" * 60,
        "and then we went on to the next house " * 60,
    ],
)
def test_text_without_punctuation_is_cut_and_nothing_is_lost(text: str, step: int) -> None:
    found = pieces(text, step)
    assert max(map(len, found)) <= LONGEST_CHARS
    assert "".join(found).replace(" ", "") == text.replace(" ", "")
    if " " in text:
        words = set(text.split())
        assert all(word in words for piece in found for word in piece.split())


def test_a_long_announcement_is_cut_and_joined_again_as_written() -> None:
    text = "我们明天上午有空位，" * 60
    found = cut(text)
    assert max(len(piece.text) for piece in found) <= LONGEST_CHARS
    assert join_units(found) == text
    assert cut("Short. As it is.") == [Piece("Short. As it is.")]


def test_chinese_takes_a_voice_longer_than_as_many_letters() -> None:
    chinese, english = spread_words("你好吗")[-1], spread_words("a b c")[-1]
    assert chinese.audio_offset_ms is not None
    assert english.audio_offset_ms is not None
    assert chinese.audio_offset_ms > english.audio_offset_ms
    assert [frame.joined for frame in spread_words("你好 吗")] == [False, True, False]


MANY = 60_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "." * MANY,
        "漢" + "!" * MANY,
        "*" + "\n" * MANY + "x",
        "*" + " " * MANY + "x",
        "|" * MANY + "x",
        "- " * (MANY // 2) + "x",
        "[" * MANY + "*",
        "[](" * (MANY // 3),
        "https://a/" + ".," * (MANY // 2) + "x",
        "Dr. " * (MANY // 4),
        "“" * MANY + "漢",
        "`" * MANY,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_a_model_that_repeats_itself_for_ever_does_not_hold_up_the_process(text: str) -> None:
    """In quadratic time, each of these takes minutes, during which no call goes on."""
    assert max(len(piece.text) for piece in cut(text)) <= LONGEST_CHARS
    assert len(for_speech(text)) <= len(text)
    aggregator = SentenceAggregator()
    assert all(len(piece.text) <= LONGEST_CHARS for piece in [*aggregator.feed(text), *aggregator.flush()])
