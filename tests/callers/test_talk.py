"""The conversation of a call is reported line by line, in the order of the lines' times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runner.callers.phone import Phone
from runner.callers.sound.bot_sound import Span
from runner.callers.talk import LONGEST_HOLD_S, Said, Talk


class QuietPhone:
    """A phone without a socket, whose clock is set."""

    url = "ws://127.0.0.1:1/ws"
    wire = SimpleNamespace(facts=SimpleNamespace(call_id="CA1"))
    started_at = 100.0

    def __init__(self) -> None:
        self.now = self.started_at
        self.speech: Any = SimpleNamespace(spans=[])
        self.ended = asyncio.Event()
        self.looked = 0

    def bot_quiet_s(self) -> float:
        return 1.0

    async def until(self, met: Callable[[], bool], timeout_s: float) -> bool:
        """Once a round of the loop; the call ends after twenty."""
        self.looked += 1
        await asyncio.sleep(0)
        if self.looked > 20:
            self.ended.set()
        return met()


class It:
    """A call whose reported lines are kept."""

    def __init__(self, *, words_known: bool = True) -> None:
        self.phone, self.said = QuietPhone(), list[Said]()
        self.talk = Talk(cast(Phone, self.phone), self.said.append)
        self.talk.side.open = words_known

    def at(self, seconds: float, event: str, **data: Any) -> None:
        """The bot's side reports this event."""
        self.phone.now = self.phone.started_at + seconds
        self.talk._on_message(event, data)

    def says(self, seconds: float, who: str, text: str) -> None:
        self.phone.now = self.phone.started_at + seconds
        self.talk.say(who, text)

    def spoke(self, begin: float, end: float) -> None:
        start = self.phone.started_at
        self.phone.speech.spans.append(Span(start + begin, start + end))

    def seen(self) -> list[tuple[float, str, str]]:
        assert self.talk.lines == self.said
        return [(line.at, line.who, line.text) for line in self.said]


def test_what_others_say_during_a_sentence_is_reported_behind_it() -> None:
    it = It()
    it.at(0.88, "bot-tts-text", text="Hello")
    it.says(0.99, "phone", "the bot reports: slow")
    it.says(1.0, "print", "from the bot")
    assert it.seen() == []
    it.at(1.2, "bot-tts-text", text="there.")
    it.says(1.3, "caller", "Hi.")
    assert it.seen() == [
        (0.88, "bot", "Hello there."),
        (0.99, "phone", "the bot reports: slow"),
        (1.0, "print", "from the bot"),
        (1.3, "caller", "Hi."),
    ]


async def test_the_end_of_one_sentence_does_not_cut_the_next() -> None:
    it = It()
    it.at(1.0, "bot-tts-text", text="Well")
    it.at(1.1, "bot-stopped-speaking")
    it.at(1.15, "bot-tts-text", text="done.")
    it.at(1.16, "bot-tts-text", text="And")
    await asyncio.sleep(0.15)
    it.at(1.3, "bot-tts-text", text="now?")
    assert it.seen() == [(1.0, "bot", "Well done."), (1.16, "bot", "And now?")]


@pytest.mark.parametrize("ending", ["interrupted", "over", "too long"])
def test_a_sentence_that_never_ends_holds_nothing_back_for_ever(ending: str) -> None:
    it = It()
    it.at(1.0, "bot-tts-text", text="And")
    it.says(1.5, "caller", "Stop!")
    match ending:
        case "interrupted":
            it.at(2.0, "bot-interrupted")
        case "over":
            it.talk.finish()
        case "too long":
            it.says(1.0 + LONGEST_HOLD_S + 0.1, "print", "still here")
    cut = " —" if ending == "interrupted" else ""
    assert it.seen()[:2] == [(1.0, "bot", f"And{cut}"), (1.5, "caller", "Stop!")]


def test_speech_without_words_is_reported_before_what_follows_it() -> None:
    it = It(words_known=False)
    it.spoke(0.5, 1.0)
    it.says(1.1, "caller", "Stop!")
    it.talk.finish()
    assert it.seen() == [(0.5, "bot", "(speaks)"), (1.1, "caller", "Stop!")]


def test_speech_is_not_reported_while_its_words_may_still_come() -> None:
    it = It(words_known=False)
    it.talk.side.opening = True
    it.spoke(0.01, 0.05)
    it.says(0.06, "print", "from the bot")
    it.talk.side.opening, it.talk.side.open = False, True
    it.at(0.1, "bot-tts-text", text="Hello!")
    assert it.seen() == [(0.06, "print", "from the bot"), (0.1, "bot", "Hello!")]


@pytest.mark.parametrize(("known", "opening"), [(True, False), (False, True)])
async def test_following_a_call_waits_for_news_of_it(known: bool, opening: bool) -> None:
    """Speech whose words are known, or may still be, is no news for ever: that would be a busy loop."""
    it = It(words_known=known)
    it.talk.side.opening = opening
    it.spoke(0.5, 1.0)
    news: list[bool] = []
    until = it.phone.until

    async def watched(met: Callable[[], bool], timeout_s: float) -> bool:
        news.append(await until(met, timeout_s))
        return news[-1]

    it.phone.until = watched  # type: ignore[method-assign]
    it.talk.side.run = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    await it.talk.follow()
    assert news.count(True) <= 1
