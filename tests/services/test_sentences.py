from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.services.sentences import SentenceAggregator
from runner.services.tts import spread_words


def pieces(text: str, step: int = 3) -> list[str]:
    aggregator = SentenceAggregator()
    found = [piece for i in range(0, len(text), step) for piece in aggregator.feed(text[i : i + step])]
    rest = aggregator.flush()
    return [*found, rest] if rest else found


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
        ("Well, yes. Then, after some time, no.", ["Well, yes.", "Then, after some time, no."]),
        (
            "If you come a little earlier, we can talk. Or later, if that suits you better.",
            ["If you come a little earlier,", "we can talk.", "Or later, if that suits you better."],
        ),
    ],
)
def test_text_is_cut_where_a_voice_would_pause(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@given(st.text(alphabet="ab .,!?\n", max_size=80), st.integers(1, 9))
def test_no_word_is_lost_and_none_added(text: str, step: int) -> None:
    assert "".join(pieces(text, step)).replace(" ", "").replace("\n", "") == "".join(text.split())


def test_words_are_spread_in_order_from_the_beginning() -> None:
    words = spread_words("the cat and the dog")
    assert [word.text for word in words] == ["the", "cat", "and", "the", "dog"]
    offsets = [word.audio_offset_ms or 0.0 for word in words]
    assert offsets[0] == 0
    assert offsets == sorted(offsets)
