"""What a scenario expects the bot to have understood."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.callers.phone import Phone
from runner.callers.scenario.expectations import Verdict, check
from runner.callers.scenario.steps import Expect
from runner.callers.sound.microphone import Manner, Microphone, Utterance
from runner.callers.sound.playout import Underrun
from runner.callers.talk import Talk
from runner.rtvi import messages

RATE = 8000
LOUD = b"\x10\x20" * (RATE // 10)


class SilentPhone:
    """A phone without a socket: its caller speaks at `now`, and the time stands still while a check waits."""

    url = "ws://127.0.0.1:1/ws"
    wire = SimpleNamespace(facts=SimpleNamespace(call_id="CA1"))
    sample_rate = RATE
    started_at = 0.0
    log: Any
    playout: Any
    speech = SimpleNamespace(spans=[])

    def __init__(self) -> None:
        self.microphone = Microphone()
        self.now = 0.0
        self.waited: list[float] = []

    def speak(self, text: str, manner: Manner = Manner.TURN) -> None:
        self.microphone.take(RATE)
        self.microphone.say(Utterance(text, LOUD, manner))
        self.microphone.take(RATE)
        self.now += 2.0

    async def until(self, met: Callable[[], bool], timeout_s: float) -> bool:
        if not met():
            self.waited.append(timeout_s)
        return met()


def call(*steps: tuple[str, str], open: bool = True) -> tuple[Talk, SilentPhone]:
    """A call in which these things happened: ("says", text), ("murmurs", text), ("understood", text)."""
    phone = SilentPhone()
    talk = Talk(cast(Phone, phone))
    talk.side.open = open
    for what, text in steps:
        if what == "understood":
            deliver(talk, text)
        else:
            phone.speak(text, Manner.MURMUR if what == "murmurs" else Manner.TURN)
    return talk, phone


def deliver(talk: Talk, text: str) -> None:
    """The bot's own message about what it understood."""
    message: dict[str, Any] = (
        messages.user_transcription(text, final=True, timestamp="", user_id="")
        if text
        else messages.server_message({"type": "not-understood"})
    )
    talk._on_message(message["type"], message["data"])


def judge(talk: Talk, **expect: Any) -> Verdict:
    (verdict,) = asyncio.run(check(Expect(**expect), talk))
    return verdict


TIME = ("says", "What time is it?")
MISHEARD = "'Stop!' was understood as '{}', expected 'stop'"


@pytest.mark.parametrize(
    ("steps", "wanted", "sentence"),
    [
        ([TIME, ("understood", "what time is it")], "What time is it?", None),
        ([TIME, ("understood", "um What"), ("understood", "time is it?")], "what time is it", None),
        ([("says", "Stop!"), ("understood", "help")], "stop", MISHEARD.format("help")),
        ([("says", "Stop!"), ("understood", "stopping")], "stop", MISHEARD.format("stopping")),
        ([TIME, ("understood", "what time is it"), TIME], "what time is it",
         "'What time is it?' was understood as nothing, expected 'what time is it'"),
        ([TIME, ("understood", "")], "what time is it",
         "'What time is it?' was understood as nothing, expected 'what time is it'"),
        ([TIME, ("understood", "")], "", None),
        ([TIME], "", None),
        ([("murmurs", "mm-hmm"), ("understood", "no")], "",
         "'mm-hmm' was understood as 'no', expected nothing"),
        ([("understood", "help")], "help", "the caller has said nothing that could be understood"),
    ],
)  # fmt: skip
def test_what_the_caller_said_last_is_compared_with_what_the_bot_understood(
    steps: list[tuple[str, str]], wanted: str, sentence: str | None
) -> None:
    talk, _ = call(*steps)
    verdict = judge(talk, understood=(wanted,))
    assert verdict.met is (sentence is None)
    if sentence is not None:
        assert verdict.sentence == sentence


def test_every_text_of_a_list_must_be_understood() -> None:
    talk, _ = call(TIME, ("understood", "what time is it please"))
    verdicts = asyncio.run(check(Expect(understood=("time", "date")), talk))
    assert [verdict.met for verdict in verdicts] == [True, False]


def test_a_transcription_is_waited_for_as_long_as_the_step_says() -> None:
    talk, phone = call(TIME)
    judge(talk, understood=("what time is it",), within_s=3.5)
    assert phone.waited == [3.5]


def test_a_bot_on_another_machine_cannot_be_asked() -> None:
    talk, _ = call(TIME, open=False)
    verdict = judge(talk, understood=("what time is it",))
    assert not verdict.met
    assert "known on its own machine only" in verdict.sentence


@pytest.mark.parametrize(
    ("late_ms", "met", "sentence"),
    [
        (2, False, "2 underruns in the bot's speech, 1 are allowed"),
        (
            45,
            True,
            "1 underruns in the bot's speech; 1 more, no longer than this phone itself was late (45 ms)",
        ),
    ],
)
def test_an_underrun_that_the_phone_may_have_made_itself_is_not_the_bots(
    late_ms: float, met: bool, sentence: str
) -> None:
    talk, phone = call()
    phone.log = SimpleNamespace(late_s=[0.001, late_ms / 1000])
    phone.playout = SimpleNamespace(underruns=[Underrun(1.0, 0.040), Underrun(2.0, 0.200)])
    verdict = judge(talk, underruns=1)
    assert verdict.met is met
    assert verdict.sentence.startswith(sentence)
