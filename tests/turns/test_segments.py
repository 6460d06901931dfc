"""Words and units in many scripts: spaced as written, marks with their letters."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.turns import Confirm, Decision, MinWords, Overlap, RuleTurnAnalyzer, Words
from runner.turns.segments import join_texts, join_units, last_cut, units, words_of

TEXTS = {
    "Chinese": ("你好，世界。", ["你", "好，", "世", "界。"], ["你", "好", "世", "界"]),
    "Japanese": ("「はい。」と", ["「は", "い。」", "と"], ["は", "い", "と"]),
    "Japanese long vowel": ("コーヒー", ["コー", "ヒー"], ["コー", "ヒー"]),
    "mixed": ("我有iPhone。", ["我", "有", "iPhone。"], ["我", "有", "iphone"]),
    "Korean": ("안녕 하세요.", ["안녕", "하세요."], ["안녕", "하세요"]),
    "Thai": ("ขอบคุณครับ", ["ข", "อ", "บ", "คุ", "ณ", "ค", "รั", "บ"], ["ขอบคุณ", "ครับ"]),
    "Thai vowel before its letter": ("เธอ", ["เธ", "อ"], ["เธอ"]),
    "Lao": ("ສະບາຍດີ", ["ສະ", "ບາ", "ຍ", "ດີ"], ["ສະ", "ບາ", "ຍ", "ດີ"]),
    "Khmer": ("ខ្មែរ", ["ខ្មែ", "រ"], ["ខ្មែ", "រ"]),
    "Burmese": ("ခင်ဗျာ", ["ခင်", "ဗျာ"], ["ခင်", "ဗျာ"]),
    "Tibetan": ("བཀྲ་ཤིས", ["བཀྲ་", "ཤིས"], ["བཀྲ", "ཤིས"]),
    "Hindi": ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया।"], ["नमस्ते", "दुनिया"]),
    "Tamil": ("வணக்கம் நண்பா", ["வணக்கம்", "நண்பா"], ["வணக்கம்", "நண்பா"]),
    "Arabic with vowels": ("مَرْحَبًا بِكَ", ["مَرْحَبًا", "بِكَ"], ["مَرْحَبًا", "بِكَ"]),
    "Persian joiner": ("می‌خواهم آب", ["می‌خواهم", "آب"], ["می‌خواهم", "آب"]),
    "Hebrew": ("צה״ל שלום!", ["צה״ל", "שלום!"], ["צה״ל", "שלום"]),
    "Amharic": ("ሰላም ነው።", ["ሰላም", "ነው።"], ["ሰላም", "ነው"]),
    "decomposed Latin": ("cafe\u0301 noir", ["cafe\u0301", "noir"], ["cafe\u0301", "noir"]),
    "English": ("It's “well-known”.", ["It's", "“well-known”."], ["it's", "well-known"]),
}


@pytest.mark.parametrize(("text", "parts", "words"), TEXTS.values(), ids=TEXTS)
def test_text_is_cut_into_units_and_words(text: str, parts: list[str], words: list[str]) -> None:
    assert [unit.text for unit in units(text)] == parts
    assert words_of(text) == words


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])))
def test_no_character_is_lost_and_units_join_as_written(text: str) -> None:
    found = units(text)
    assert all(text[unit.start : unit.start + len(unit.text)] == unit.text for unit in found)
    assert join_units((unit.text, unit.joined) for unit in found) == " ".join(text.split())


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (("我想", "订票"), "我想订票"),
        (("はい。", "お願いします"), "はい。お願いします"),
        (("我要", "iPhone"), "我要 iPhone"),
        (("hello", "", " there"), "hello there"),
        (("สวัสดี", "ครับ"), "สวัสดี ครับ"),
        (("안녕", "하세요"), "안녕 하세요"),
        ((), ""),
    ],
)
def test_transcripts_are_joined_as_their_script_is_written(texts: tuple[str, ...], joined: str) -> None:
    assert join_texts(*texts) == joined


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("我想订一张票", Decision.INTERRUPT),
        ("嗯", Decision.WAIT),
        ("मुझे दिल्ली", Decision.WAIT),
        ("मुझे दिल्ली जाना", Decision.INTERRUPT),
        ("ครับ", Decision.WAIT),
        ("ผมต้องการจองโต๊ะ", Decision.INTERRUPT),
        ("잠깐 만요", Decision.WAIT),
        ("אני רוצה לעצור", Decision.INTERRUPT),
        ("cafe\u0301 s\u0327i", Decision.WAIT),
    ],
)
def test_min_words_counts_words_in_every_script(text: str, decision: Decision) -> None:
    assert MinWords(3).decide(Overlap(0.0, text=text), 0.5) is decision


def test_backchannels_of_a_language_without_spaces_are_recognised() -> None:
    words = Words(backchannels=frozenset({"嗯", "好的", "そうですね"}))
    assert words.is_backchannel("好的，嗯。")
    assert words.is_backchannel("そうですね")
    assert not words.is_backchannel("好的，停")
    overlap = Overlap(0.0, stopped_at=0.5, text="好的", final=True)
    assert Confirm(words=words).decide(overlap, 0.6) is Decision.DISMISS


@pytest.mark.parametrize("text", ["你好。", "مرحبا؟", "شکریہ۔", "Բարև։", "ሰላም።", "မင်္ဂလာပါ။", "សួស្តី។", "नमस्ते।"])
def test_a_sentence_end_of_any_script_ends_a_turn(text: str) -> None:
    assert RuleTurnAnalyzer().words.is_complete(text)


@pytest.mark.parametrize("text", ["我想要，", "أريد،", "እፈልጋለሁ፣"])
def test_a_comma_of_any_script_goes_on(text: str) -> None:
    assert RuleTurnAnalyzer().words.is_unfinished(text)


def test_fillers_of_a_language_without_spaces_go_on() -> None:
    words = Words(fillers=frozenset({"那个"}))
    assert words.is_unfinished("我想要那个")
    assert not words.is_unfinished("我想要一个")


def test_overlong_text_is_cut_between_words() -> None:
    assert last_cut("one two three", 9) == len("one two ")
    thai = "สวัสดีครับผมต้องการจองโต๊ะ"
    assert thai[: last_cut(thai, 12)] == "สวัสดีครับผม"
    assert last_cut("你好世界", 3) == 3
    assert last_cut("x" * 30, 10) == 10


def test_text_in_latin_letters_compiles_none_of_the_slow_patterns() -> None:
    """They take 30 ms, which no start and no English or French call should pay."""
    code = (
        "from runner.turns import segments as s\n"
        "s.words_of('Où est-ce? Two words'), s.units('Ça va')\n"
        "s.join_texts('Déjà', 'vu'), s.speaking_weight('été')\n"
        "print(s._compiled.cache_info().currsize)\n"
        "s.units('你好')\n"
        "print(s._compiled.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "2"]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    ["漢" + "!" * 60_000, "漢" + "“" * 60_000, "“" * 60_000 + "漢", "!a" * 30_000 + "漢", "ဗ" + "့" * 60_000],
    ids=lambda text: repr(text[:3]),
)
def test_a_run_of_one_character_does_not_hold_up_the_process(text: str) -> None:
    """In quadratic time this takes minutes, during which no call goes on."""
    assert "".join(unit.text for unit in units(text)) == text
    assert len(words_of(text)) <= len(text)
