"""Turns in virtual time: barge-in at each stage, pauses, half turns, keys, tools; with what is remembered."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.frames import (
    BotStartedSpeakingFrame,
    EndFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.testing import Conversation, Fails, ScriptedVAD, tool_call
from runner.turns import RuleTurnAnalyzer, TurnPauses

sleep = asyncio.sleep
SIX = "one two three four five six."
TURN = ["user starts", "user stops"]
SPEECH = ["bot starts", "bot stops"]


def test_an_ordinary_exchange_takes_vad_recogniser_model_and_voice_and_no_more() -> None:
    it = Conversation("Good morning to you.", "Goodbye.")

    async def script() -> None:
        await it.caller.say("hello there")
        await it.bot_is_silent()
        await it.caller.say("thank you")
        await it.bot_is_silent()

    it.run(script)
    assert it.events() == [*TURN, *SPEECH, *TURN, *SPEECH]
    first_turn_s = it.when(BotStartedSpeakingFrame, 0) - 1.01
    assert first_turn_s == pytest.approx(0.4 + 0.1 + 0.15 + 0.08, abs=0.01)
    assert it.remembered() == [
        ("user", "hello there"), ("assistant", "Good morning to you."),
        ("user", "thank you"), ("assistant", "Goodbye."),
    ]  # fmt: skip


# ------------------------------------------------------------------ barge-in at each stage


def barge_in(at_s: float, *, words: str = "stop that", **options: object) -> Conversation:
    """One question; so long after its last word the user speaks again. Then the second answer."""
    it = Conversation(SIX, "Very well.", **options)  # type: ignore[arg-type]

    async def script() -> None:
        await it.caller.say("talk to me")
        await sleep(at_s)
        await it.caller.say(words, 0.6)
        await it.bot_is_silent()

    return it.run(script)


def test_speech_while_the_recogniser_still_thinks_goes_on_with_the_turn() -> None:
    it = barge_in(0.5, stt_s=0.6)
    assert it.remembered() == [("user", "talk to me stop that"), ("assistant", SIX)]
    assert len(it.llm.asked) == 1


def test_speech_while_the_model_thinks_makes_one_turn_of_both_and_drops_the_half_made_reply() -> None:
    it = barge_in(0.35)
    assert it.remembered()[0] == ("user", "talk to me stop that")
    it = barge_in(0.42)
    assert it.events() == ["user starts", "user stops", "user starts", "user stops", *SPEECH]
    assert it.remembered() == [("user", "talk to me stop that"), ("assistant", "Very well.")]


def test_speech_before_the_voices_first_sound() -> None:
    it = barge_in(0.5)
    assert it.words() == ["Very", "well."]
    assert it.remembered() == [("user", "talk to me stop that"), ("assistant", "Very well.")]


def test_speech_in_the_middle_of_a_word() -> None:
    it = barge_in(0.73 + 2.5 * 0.3 - 0.2)
    assert it.events() == [*TURN, "bot starts", "bot stops", *TURN, *SPEECH]
    assert it.remembered() == [
        ("user", "talk to me"), ("assistant", "one two three"),
        ("user", "stop that"), ("assistant", "Very well."),
    ]  # fmt: skip


@pytest.mark.parametrize("heard", [1, 2, 3, 4, 5, 6])
def test_speech_after_any_number_of_words_leaves_just_these_in_the_memory(heard: int) -> None:
    it = barge_in(0.73 + (heard - 0.5) * 0.3 - 0.2)
    assert it.remembered()[1] == ("assistant", " ".join(SIX.split()[:heard]))


def test_speech_at_the_last_word_and_at_the_silence_behind_it() -> None:
    it = barge_in(0.73 + 6 * 0.3 - 0.21)
    assert it.remembered()[1:] == [("assistant", SIX), ("user", "stop that"), ("assistant", "Very well.")]
    it = barge_in(0.73 + 6 * 0.3)
    assert it.events() == [*TURN, *SPEECH, *TURN, *SPEECH]
    assert it.remembered()[1] == ("assistant", SIX)


def test_speech_in_the_gap_between_two_sentences() -> None:
    it = Conversation("First it is this. Then comes that and more.", "Fine.", llm_word_s=0.5)

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("this.")
        await sleep(0.5)
        await it.caller.say("stop that", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[1] == ("assistant", "First it is this.")
    assert it.remembered()[-1] == ("assistant", "Fine.")


def test_the_bot_is_silent_from_the_vads_start_on() -> None:
    it = barge_in(0.73 + 2.5 * 0.3 - 0.2)
    cut_at = it.when(InterruptionFrame)
    assert it.transport.listener.cleared[-1] == pytest.approx(cut_at)
    assert not [at for at, _ in it.transport.listener.sent if cut_at < at < cut_at + 0.6]


def test_both_begin_at_the_same_moment() -> None:
    it = barge_in(0.73 - 0.2)
    assert len(it.llm.asked) == 2
    assert it.remembered()[-1] == ("assistant", "Very well.")
    assert it.words() == ["Very", "well."] or it.words() == ["one", "Very", "well."]


# ------------------------------------------------------------------ pauses and half turns


def test_a_false_start_that_is_too_short_for_the_vad_is_nothing() -> None:
    it = Conversation(SIX)

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.make_noise(0.1)
        await it.bot_is_silent()

    it.run(script)
    assert it.events() == [*TURN, *SPEECH]
    assert it.remembered() == [("user", "talk to me"), ("assistant", SIX)]


def test_a_cough_without_words_asks_nothing() -> None:
    it = Conversation(SIX)

    async def script() -> None:
        await it.caller.make_noise(0.4)
        await sleep(3)

    it.run(script)
    assert it.events() == TURN
    assert it.llm.asked == []


def test_silence_asks_nothing() -> None:
    it = Conversation(SIX)
    it.run(lambda: sleep(20))
    assert it.events() == []
    assert it.remembered() == []


def test_a_user_who_thinks_after_um_is_given_time() -> None:
    it = Conversation("Here it is.")

    async def script() -> None:
        await it.caller.say("I would like a, um")
        await sleep(1.2)
        await it.caller.say("cup of tea")
        await it.bot_is_silent()

    it.run(script)
    assert [m[-1]["content"] for m in it.llm.asked] == ["I would like a, um cup of tea"]
    assert it.events() == [*TURN, *TURN, *SPEECH]


def test_a_user_who_never_finishes_is_answered_in_the_end() -> None:
    it = Conversation("Yes?")

    async def script() -> None:
        await it.caller.say("I would like a")
        await it.bot_is_silent()

    it.run(script)
    waited_s = it.when(BotStartedSpeakingFrame) - 1.01
    assert waited_s == pytest.approx(1.6 + 0.15 + 0.08, abs=0.02)


def test_a_question_is_answered_sooner_than_what_may_go_on() -> None:
    def wait_after(text: str) -> float:
        rules = RuleTurnAnalyzer(TurnPauses(complete_s=0.2, unsure_s=0.6))
        it = Conversation("Yes.", vad=ScriptedVAD(0.2, 0.2), stt_s=0.0, turn_analyzer=rules)

        async def script() -> None:
            await it.caller.say(text)
            await it.bot_is_silent()

        it.run(script)
        return it.when(BotStartedSpeakingFrame) - 1.01

    assert wait_after("What time is it?") == pytest.approx(0.2 + 0.23, abs=0.01)
    assert wait_after("what time is it now") == pytest.approx(0.6 + 0.23, abs=0.01)


def test_a_pause_shorter_than_the_vads_is_not_even_noticed() -> None:
    it = Conversation("Here it is.")

    async def script() -> None:
        await it.caller.say("bring me tea")
        await sleep(0.3)
        await it.caller.say("with milk")
        await it.bot_is_silent()

    it.run(script)
    assert it.events() == [*TURN, *SPEECH]
    assert it.remembered()[0] == ("user", "bring me tea with milk")


def test_three_pieces_become_one_turn_while_nothing_was_heard_of_an_answer() -> None:
    it = Conversation("a.", "b.", "Here it is.")

    async def script() -> None:
        for piece in ("bring me tea", "with milk", "for two"):
            await it.caller.say(piece, 0.5)
            await sleep(0.45)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "bring me tea with milk for two"), ("assistant", "Here it is.")]


def test_an_answer_of_which_a_word_was_heard_parts_two_turns() -> None:
    it = Conversation(SIX, "Here it is.")

    async def script() -> None:
        await it.caller.say("bring me tea")
        await it.bot_says("one")
        await it.caller.say("with milk", 0.5)
        await it.bot_is_silent()

    it.run(script)
    assert [role for role, _ in it.remembered()] == ["user", "assistant", "user", "assistant"]


def test_late_words_of_the_recogniser_join_their_turn_and_the_reply_is_made_again() -> None:
    it = Conversation("too early.", "Two teas.")

    async def script() -> None:
        await it.caller.say("bring me tea")
        await sleep(0.6)
        await it.stt.push_frame(late)
        await it.bot_is_silent()

    from runner.frames import TranscriptionFrame

    late = TranscriptionFrame("for two")
    it.run(script)
    assert it.words() == ["Two", "teas."]
    assert it.remembered() == [("user", "bring me tea for two"), ("assistant", "Two teas.")]


# ------------------------------------------------------------------ strategies


def test_with_confirm_an_mm_hmm_costs_a_gap_and_not_a_word() -> None:
    it = Conversation(SIX, interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.say("mm-hmm", 0.4)
        await it.bot_is_silent()

    it.run(script)
    assert it.events() == [
        *TURN, "bot starts", "bot pauses", "user starts", "user stops", "bot resumes", "bot stops",
    ]  # fmt: skip
    assert it.remembered() == [("user", "talk to me"), ("assistant", SIX)]
    assert len(it.llm.asked) == 1


@pytest.mark.parametrize("seconds", [0.25, 0.4, 0.6])
def test_with_confirm_a_cough_or_a_door_costs_a_gap(seconds: float) -> None:
    it = Conversation(SIX, interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("three")
        await it.caller.make_noise(seconds)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "talk to me"), ("assistant", SIX)]
    assert it.events().count("bot resumes") == 1


def test_with_confirm_a_word_that_means_it_ends_the_reply() -> None:
    it = barge_in(0.73 + 2.5 * 0.3 - 0.2, interruption_strategy="confirm")
    assert it.events()[2:5] == ["bot starts", "bot pauses", "user starts"]
    assert "bot resumes" not in it.events()
    assert it.remembered() == [
        ("user", "talk to me"), ("assistant", "one two three"),
        ("user", "stop that"), ("assistant", "Very well."),
    ]  # fmt: skip


def test_with_confirm_and_a_recogniser_without_interim_words_the_final_ones_decide() -> None:
    it = barge_in(0.73 + 2.5 * 0.3 - 0.2, interruption_strategy="confirm", interim=False)
    assert it.remembered()[1:3] == [("assistant", "one two three"), ("user", "stop that")]


def test_with_confirm_long_speech_ends_the_reply_although_nothing_was_understood() -> None:
    it = Conversation(SIX, interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.make_noise(1.6)
        await sleep(4)

    it.run(script)
    assert it.remembered() == [("user", "talk to me"), ("assistant", "one two")]
    assert "bot resumes" not in it.events()


def test_with_confirm_two_mm_hmms_cost_two_gaps() -> None:
    it = Conversation(SIX, interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("talk to me")
        for word in ("two", "four"):
            await it.bot_says(word)
            await it.caller.say("uh-huh", 0.4)
        await it.bot_is_silent()

    it.run(script)
    assert it.events().count("bot resumes") == 2
    assert it.remembered()[1] == ("assistant", SIX)


def test_with_confirm_words_that_are_understood_after_all_still_end_the_reply() -> None:
    it = Conversation(SIX, "Very well.", interruption_strategy="confirm", stt_s=1.2, interim=False)

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.say("stop that", 0.5)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[2:] == [("user", "stop that"), ("assistant", "Very well.")]


@pytest.mark.parametrize(("murmur", "heard"), [(True, SIX), (False, "one two")])
@pytest.mark.parametrize("text", ["", "hello"])
def test_with_confirm_a_recogniser_that_is_late_is_believed_about_murmurs(
    text: str, murmur: bool, heard: str
) -> None:
    it = Conversation(SIX, "Very well.", interruption_strategy="confirm", interim=False)

    async def late(said: str) -> None:
        await sleep(1.2 if said == "stop" else 0.1)
        found = TranscriptionFrame(text, murmur=murmur) if said == "stop" else TranscriptionFrame(said)
        await it.stt.push_frame(found)

    it.stt._push_final = late  # type: ignore[method-assign]

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.say("stop", 0.3)
        await sleep(4)

    it.run(script)
    said = it.remembered()[1][1]
    assert said == SIX if murmur else (said.startswith(heard) and len(said) < len(SIX))
    assert ("user", text) in it.remembered() if text and not murmur else ("user", text) not in it.remembered()


def test_with_confirm_a_yes_is_an_answer_when_the_bot_is_silent() -> None:
    it = Conversation("Shall I book it?", "It is booked.", interruption_strategy="confirm")

    async def script() -> None:
        await it.caller.say("a table please now")
        await it.bot_is_silent()
        await it.caller.say("uh-huh", 0.4)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[2:] == [("user", "uh-huh"), ("assistant", "It is booked.")]


def test_with_confirm_an_mm_hmm_while_the_model_thinks_does_not_stop_it() -> None:
    it = Conversation(SIX, interruption_strategy="confirm", llm_s=1.0)

    async def script() -> None:
        await it.caller.say("talk to me")
        await sleep(0.6)
        await it.caller.say("mm-hmm", 0.4)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "talk to me"), ("assistant", SIX)]


def test_with_min_words_fewer_are_forgotten_and_more_interrupt() -> None:
    it = Conversation(SIX, "Very well.", interruption_strategy="min_words")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("one")
        await it.caller.say("oh really", 0.4)
        await it.bot_says("four")
        await it.caller.say("no stop it now", 0.8)
        await it.bot_is_silent()

    it.run(script)
    assert "bot pauses" not in it.events()
    assert [text for role, text in it.remembered() if role == "user"] == ["talk to me", "no stop it now"]
    assert it.remembered()[1][1].startswith("one two three four")
    assert it.remembered()[-1] == ("assistant", "Very well.")


def test_without_interruptions_what_was_said_is_answered_when_the_bot_has_finished() -> None:
    it = barge_in(0.73 + 1.5 * 0.3, interruption_strategy="none")
    assert it.remembered() == [
        ("user", "talk to me"), ("assistant", SIX), ("user", "stop that"), ("assistant", "Very well."),
    ]  # fmt: skip
    assert it.heard.of(InterruptionFrame) == []


# ------------------------------------------------------------------ mutes


def test_a_greeting_that_must_be_heard_is() -> None:
    from runner.turns import MuteUntilBotSpoke

    it = Conversation("Yes?", mute=[MuteUntilBotSpoke()])

    async def script() -> None:
        await it.task.queue_frame(TTSSpeakFrame("this call is recorded"))
        await sleep(0.5)
        await it.caller.say("hello hello", 0.5)
        await it.bot_is_silent(1.5)
        await it.caller.say("hello again", 0.5)
        await it.bot_is_silent()

    it.run(script)
    assert it.events() == [*SPEECH, *TURN, *SPEECH]
    assert it.remembered() == [
        ("assistant", "this call is recorded"), ("user", "hello again"), ("assistant", "Yes?"),
    ]  # fmt: skip


def test_a_user_who_speaks_on_when_the_mute_ends_is_heard_from_then_on() -> None:
    from runner.turns import MuteWhileBotSpeaks

    it = Conversation(SIX, "Yes?", mute=[MuteWhileBotSpeaks()])

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("six.")
        await it.caller.say("and what about lunch", 1.5)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[1] == ("assistant", SIX)
    assert it.when(UserStartedSpeakingFrame) < it.when(UserStoppedSpeakingFrame)
    assert it.remembered()[-1] == ("assistant", "Yes?")


async def look_up() -> str:
    """Look it up."""
    await asyncio.sleep(2)
    return "found"


def test_a_tool_that_must_not_be_disturbed_mutes_the_user() -> None:
    from runner.turns import MuteDuringTools

    it = Conversation([tool_call("look_up")], "I found it.", tools=[look_up], mute=[MuteDuringTools()])

    async def script() -> None:
        await it.caller.say("look it up now")
        await sleep(1.2)
        await it.caller.say("hurry up", 0.5)
        await it.bot_is_silent()

    it.run(script)
    assert it.heard.of(InterruptionFrame)[1:] == []
    assert it.remembered()[-1] == ("assistant", "I found it.")
    assert [text for role, text in it.remembered() if role == "user"] == ["look it up now"]


# ------------------------------------------------------------------ tools


def test_a_tool_is_ended_by_an_interruption_and_the_model_gets_that_result() -> None:
    it = Conversation([tool_call("look_up")], "Very well.", tools=[look_up])

    async def script() -> None:
        await it.caller.say("look it up now")
        await sleep(1.2)
        await it.caller.say("never mind", 0.6)
        await it.bot_is_silent()

    it.run(script)
    answers = [json.loads(m["content"]) for m in it.context.messages if m["role"] == "tool"]
    assert answers == [{"status": "cancelled", "reason": "the user interrupted"}]
    assert [m["role"] for m in it.context.messages] == ["user", "assistant", "tool", "user", "assistant"]


def test_an_answer_after_a_tool_that_is_interrupted_keeps_the_tools_answer() -> None:
    it = Conversation([tool_call("look_up")], SIX, "Very well.", tools=[look_up])

    async def script() -> None:
        await it.caller.say("look it up now")
        await it.bot_says("two")
        await it.caller.say("that is enough", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert [m["role"] for m in it.context.messages] == [
        "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    assert it.remembered()[1:3] == [("tool", '"found"'), ("assistant", "one two")]


# ------------------------------------------------------------------ services that fail


def test_a_model_that_fails_in_the_middle_of_a_sentence_is_remembered_as_far_as_it_was_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = Conversation(["This much. And then it", Fails("broken off")], "Here I am.")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_is_silent()
        await it.caller.say("are you there", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert "broken off" in caplog.text
    assert it.remembered()[1] == ("assistant", "This much. And then it")
    assert it.remembered()[-1] == ("assistant", "Here I am.")


def test_a_voice_that_fails_in_the_middle_of_a_sentence_says_no_more_of_it() -> None:
    it = Conversation(SIX, "Here I am.")
    it.tts.fails_at = "four"

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_is_silent()
        await it.caller.say("are you there", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered()[1] == ("assistant", "one two three")
    assert it.remembered()[-1] == ("assistant", "Here I am.")


# ------------------------------------------------------------------ keys and text


def test_keys_are_a_turn_when_the_hash_key_comes() -> None:
    it = Conversation("Thank you.")

    async def script() -> None:
        it.caller.press("1234#")
        await it.bot_is_silent()

    it.run(script)
    assert it.remembered() == [("user", "(keys pressed: 1234#)"), ("assistant", "Thank you.")]
    assert it.when(BotStartedSpeakingFrame) < 0.5


def test_keys_are_a_turn_after_a_pause_and_they_interrupt() -> None:
    it = Conversation(SIX, "Thank you.")

    async def script() -> None:
        await it.caller.say("talk to me")
        await it.bot_says("two")
        it.caller.press("4")
        await sleep(1)
        it.caller.press("2")
        await it.bot_is_silent(4)

    it.run(script)
    assert it.remembered()[1:] == [
        ("assistant", "one two"), ("user", "(keys pressed: 42)"), ("assistant", "Thank you."),
    ]  # fmt: skip


def test_a_typed_text_is_answered_between_spoken_turns() -> None:
    it = Conversation("Heard.", "Read.", "Heard again.")

    async def script() -> None:
        await it.caller.say("first")
        await it.bot_is_silent()
        await it.task.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": "typed"}]))
        await it.bot_is_silent(2)
        await it.caller.say("third")
        await it.bot_is_silent()

    it.run(script)
    assert [text for _, text in it.remembered()] == [
        "first",
        "Heard.",
        "typed",
        "Read.",
        "third",
        "Heard again.",
    ]


# ------------------------------------------------------------------ replies before their time


def speculating(*replies: str) -> Conversation:
    rules = RuleTurnAnalyzer(TurnPauses(unsure_s=1.0))
    return Conversation(*replies, speculative=True, turn_analyzer=rules)


def test_a_reply_in_preparation_is_heard_at_once_when_the_turn_is_over() -> None:
    it = speculating("Here it is.")

    async def script() -> None:
        await it.caller.say("bring me tea")
        await it.bot_is_silent()

    it.run(script)
    # 0.5 s from the last word to the transcript, 0.23 s to the first sound: all inside the second of doubt.
    assert it.when(BotStartedSpeakingFrame) - 1.01 == pytest.approx(1.0, abs=0.01)
    assert it.remembered() == [("user", "bring me tea"), ("assistant", "Here it is.")]
    assert len(it.llm.asked) == 1


def test_a_reply_in_preparation_is_never_heard_when_the_user_goes_on() -> None:
    it = speculating("too early.", "Here it is.")

    async def script() -> None:
        await it.caller.say("bring me tea")
        await sleep(0.75)
        await it.caller.say("with milk", 0.6)
        await it.bot_is_silent()

    it.run(script)
    assert it.words() == ["Here", "it", "is."]
    assert it.remembered() == [("user", "bring me tea with milk"), ("assistant", "Here it is.")]
    assert len(it.llm.asked) == 2


def test_a_tool_of_a_reply_in_preparation_waits_until_the_turn_is_over() -> None:
    ran: list[float] = []

    async def book() -> str:
        """Book it."""
        ran.append(asyncio.get_running_loop().time())
        return "booked"

    rules = RuleTurnAnalyzer(TurnPauses(unsure_s=1.0))
    it = Conversation(
        [tool_call("book")], "It is booked.", tools=[book], speculative=True, turn_analyzer=rules
    )

    async def script() -> None:
        await it.caller.say("book a table")
        await it.bot_is_silent()

    it.run(script)
    assert ran == [pytest.approx(2.01, abs=0.01)]
    assert [m["role"] for m in it.context.messages] == ["user", "assistant", "tool", "assistant"]


# ------------------------------------------------------------------ silence, goodbye


def test_a_silent_user_is_asked_twice_and_then_the_call_ends() -> None:
    from runner.turns import AskLLM, EndCall, IdlePrompt

    prompt = IdlePrompt(5.0, ["are you still there", AskLLM("The user is silent."), EndCall("goodbye then")])
    it = Conversation("Shall we go on?", idle_prompt=prompt)
    it.run(lambda: sleep(40))
    assert " ".join(it.words()) == "are you still there Shall we go on? goodbye then"
    assert it.task.end_reason == "the user said nothing"
    assert it.when(EndFrame) < 25


def test_a_user_who_speaks_is_given_the_whole_patience_again() -> None:
    from runner.turns import IdlePrompt

    it = Conversation("Yes.", idle_prompt=IdlePrompt(5.0, ["hello", "still there"]))

    async def script() -> None:
        await sleep(7)
        await it.caller.say("I am here", 0.6)
        await it.bot_is_silent(5.5)

    it.run(script)
    assert " ".join(it.words()).startswith("hello Yes. hello")


def test_a_goodbye_is_heard_to_its_end_although_the_user_speaks_over_it_where_nothing_interrupts() -> None:
    it = Conversation(interruption_strategy="none")

    async def script() -> None:
        await it.task.queue_frames([TTSSpeakFrame("goodbye and thanks for calling"), EndFrame()])
        await sleep(0.5)
        await it.caller.say("wait wait wait", 0.6)
        await sleep(3)

    it.run(script)
    assert " ".join(it.words()) == "goodbye and thanks for calling"


def test_half_a_minute_with_everything_keeps_its_order() -> None:
    it = Conversation(
        "Welcome.", "one two three four five six seven.", "Of course.", interruption_strategy="confirm"
    )

    async def script() -> None:
        await it.caller.say("hello there")
        await it.bot_is_silent()
        await it.caller.say("talk to me")
        await it.bot_says("two")
        await it.caller.say("mm-hmm", 0.4)
        await it.bot_says("five")
        await it.caller.say("could you stop please", 0.9)
        await it.bot_is_silent()
        await sleep(20)

    it.run(script)
    assert it.remembered() == [
        ("user", "hello there"), ("assistant", "Welcome."),
        ("user", "talk to me"), ("assistant", "one two three four five"),
        ("user", "could you stop please"), ("assistant", "Of course."),
    ]  # fmt: skip
