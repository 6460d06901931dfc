"""Conversations in scripts without spaces, and with a recogniser that is late. In virtual time."""

from __future__ import annotations

import asyncio

import pytest

from runner.testing import Conversation, ScriptedVAD

CHINESE = "您好，我可以帮您预约明天上午或者后天下午。"


def interrupted(reply: str, seconds: float, **figures: float) -> str:
    it = Conversation(reply, vad=ScriptedVAD(0.0, 0.2), **figures)

    async def script() -> None:
        await it.caller.say("go", 0.5)
        while not it.words():
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)
        await it.caller.say("stop", 0.5)
        await it.bot_is_silent()

    it.run(script)
    return next(text for role, text in it.remembered() if role == "assistant")


@pytest.mark.parametrize(
    "reply",
    [
        CHINESE,
        "はい、明日の午前十時に予約できます。",
        "ได้ครับ พรุ่งนี้เช้าเรามีโต๊ะว่างสำหรับสองคน",
        "बिल्कुल, कल सुबह दस बजे आपके लिए समय है।",
        "بالتأكيد، لدينا موعد غدا في العاشرة صباحا.",
        "Certainly, tomorrow at ten is free for you.",
    ],
)
def test_an_interrupted_reply_is_remembered_as_far_as_it_was_heard_and_spaced_as_written(reply: str) -> None:
    remembered = interrupted(reply, 0.6, word_s=0.2)
    assert reply.startswith(remembered)
    assert 0 < len(remembered) < len(reply)


def test_chinese_is_remembered_by_character() -> None:
    assert interrupted(CHINESE, 0.55, word_s=0.2) == "您好，我"


def test_chinese_sentences_are_remembered_without_spaces() -> None:
    it = Conversation("你好。很高兴认识你！OK. 再见。")

    async def script() -> None:
        await it.caller.say("你好")
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "你好"), ("assistant", "你好。很高兴认识你！OK. 再见。")]


def test_a_chinese_turn_in_two_parts_has_no_space_between_them() -> None:
    it = Conversation("好的。", vad=ScriptedVAD(0.0, 0.2), stt_s=0.5)

    async def script() -> None:
        await it.caller.say("我想订", 0.8)
        await asyncio.sleep(0.4)
        await it.caller.say("一张票", 0.8)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[0] == ("user", "我想订一张票")


LATE_PARTS = [
    (late_s, pause_s)
    for late_s in (0.6, 1.2, 2.0)
    for pause_s in (0.6, 0.9, 1.2, 1.5)
    # After a longer pause the first part is understood and answered before the second begins.
    if pause_s + 0.2 <= 0.4 + late_s
]


@pytest.mark.parametrize("interim", [True, False])
@pytest.mark.parametrize(("late_s", "pause_s"), LATE_PARTS)
def test_a_turn_in_two_parts_is_one_turn_though_the_recogniser_is_late(
    late_s: float, pause_s: float, interim: bool
) -> None:
    it = Conversation("Certainly.", "Too much.", stt_s=late_s, interim=interim)

    async def script() -> None:
        await it.caller.say("I would like a table", 1.0)
        await asyncio.sleep(pause_s)
        await it.caller.say("for two people tomorrow", 1.0)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [
        ("user", "I would like a table for two people tomorrow"),
        ("assistant", "Certainly."),
    ]
    assert len(it.llm.asked) == 1


def test_late_words_survive_a_cough_that_is_dismissed() -> None:
    it = Conversation("Certainly.", stt_s=1.2, interim=False, interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("a table for two please", 1.0)
        await asyncio.sleep(0.7)
        await it.caller.make_noise(0.3)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "a table for two please"), ("assistant", "Certainly.")]
