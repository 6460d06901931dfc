from __future__ import annotations

from runner.services.common.spoken_text import CharacterTimes, SpokenWords


def test_chinese_characters_are_words_of_their_own() -> None:
    times = CharacterTimes()
    assert times.feed("你好，我", [0, 100, 200, 300]) == [("你", 0), ("好，", 100)]
    assert times.flush() == [("我", 300)]


def test_thai_marks_stay_with_their_letter_and_latin_words_whole() -> None:
    times = CharacterTimes()
    assert times.feed("ดีok no", [0, 10, 20, 30, 40, 50, 60]) == [("ดี", 0), ("ok", 20)]
    assert times.flush() == [("no", 50)]


def test_words_of_a_chinese_voice_are_placed_by_character() -> None:
    spoken = SpokenWords("你好，世界。")
    placed = [*spoken.said("你", 0), *spoken.said("好", 200), *spoken.said("世界", 400), *spoken.rest()]
    assert [(word.text, word.offset_ms, word.joined) for word in placed] == [
        ("你", 0, False), ("好，", 200, True), ("世", 400, True), ("界。", 400, True),
    ]  # fmt: skip
