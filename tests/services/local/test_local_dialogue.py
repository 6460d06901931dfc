"""What the script understands, and what it answers."""

from __future__ import annotations

from datetime import datetime

import pytest
from speech_corpus import IN_GRAMMAR

from runner.services.local.dialogue import (
    JOKES,
    PATIENCE,
    Answer,
    answer,
    answer_to_a_miss,
    say_date,
    say_time,
)
from runner.services.local.understanding import (
    BACKGROUND,
    COMMANDS,
    PHONES,
    QUALITIES,
    THINGS,
    Kind,
    Request,
    understand,
    vocabulary,
)

NOW = datetime(2025, 11, 22, 15, 45)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("what time is it", Request(Kind.TIME)),
        ("What's the time, please?", Request(Kind.TIME)),
        ("what day is it today", Request(Kind.DATE)),
        ("What’s the date?", Request(Kind.DATE)),
        ("please tell me another joke", Request(Kind.JOKE)),
        ("can you count to twenty", Request(Kind.COUNT, "20")),
        ("Count to 7!", Request(Kind.COUNT, "7")),
        ("count", Request(Kind.COUNT)),
        ("repeat after me hello world", Request(Kind.REPEAT, "hello world")),
        ("Repeat after me: stop the bird", Request(Kind.REPEAT, "stop the bird")),
        ("repeat after me", Request(Kind.REPEAT)),
        ("help me please", Request(Kind.HELP)),
        ("what can you do", Request(Kind.HELP)),
        ("good morning", Request(Kind.HELLO, "morning")),
        ("hi there", Request(Kind.HELLO)),
        ("thank you very much", Request(Kind.THANKS)),
        ("no thank you", Request(Kind.NO)),
        ("yes please", Request(Kind.YES)),
        ("stop", Request(Kind.STOP)),
        ("bye bye", Request(Kind.GOODBYE)),
        ("Good bye.", Request(Kind.GOODBYE)),
        ("book a table for four", Request(Kind.UNKNOWN)),
        ("", Request(Kind.UNKNOWN)),
        ("?!", Request(Kind.UNKNOWN)),
    ],
)
def test_a_sentence_asks_for(text: str, request_: Request) -> None:
    assert understand(text) == request_


@pytest.mark.parametrize("text", IN_GRAMMAR)
def test_the_script_understands_what_the_recogniser_can_return(text: str) -> None:
    assert understand(text).kind is not Kind.UNKNOWN


@pytest.mark.parametrize("text", IN_GRAMMAR)
def test_the_recogniser_knows_every_word_of_the_corpus(text: str) -> None:
    assert set(text.split()) <= vocabulary(COMMANDS)


def test_the_grammars_speak_of_their_words_and_nothing_else() -> None:
    assert {*QUALITIES, *THINGS} | {"what's", "twenty", "goodbye"} <= vocabulary(COMMANDS)
    assert not vocabulary(COMMANDS) & {"utterance", "JSGF", "grammar", "public"}
    assert vocabulary(BACKGROUND) == {f"zz{phone}" for phone in PHONES}


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (0, 0, "It is 12 o'clock at night."),
        (3, 59, "It is 3:59 at night."),
        (4, 0, "It is 4 o'clock in the morning."),
        (12, 5, "It is 12:05 in the afternoon."),
        (15, 45, "It is 3:45 in the afternoon."),
        (18, 30, "It is 6:30 in the evening."),
        (22, 0, "It is 10 o'clock at night."),
    ],
)
def test_the_time_is_said_as_one_says_it(hour: int, minute: int, said: str) -> None:
    assert say_time(datetime(2025, 1, 1, hour, minute)) == said


@pytest.mark.parametrize(
    ("day", "ending"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (31, "31st")],
)
def test_the_date_is_said_as_one_says_it(day: int, ending: str) -> None:
    assert f"the {ending} of January" in say_date(datetime(2025, 1, day))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what time is it", "It is 3:45 in the afternoon."),
        ("what's the date", "Today is Saturday, the 22nd of November."),
        ("count to three", "One, two, three."),
        ("count to 100", "twenty. That is as far as I count."),
        ("count to zero", "nothing to count"),
        ("count to the moon", "one to twenty"),
        ("count", "one to twenty"),
        ("count to 99999999999999999999", "as far as I count"),
        ("repeat after me hello world", "Hello world."),
        ("repeat after me", "Say the words right after"),
        ("good evening", "Good evening!"),
        ("hello", "Hello!"),
        ("thanks", "You are welcome."),
        ("help", "repeat after me"),
        ("book a table", "do not know about that"),
    ],
)
def test_an_answer_says(text: str, said: str) -> None:
    assert said in answer(text, NOW).text
    assert not answer(text, NOW).ends_call


def test_goodbye_ends_the_call() -> None:
    assert answer("goodbye", NOW).ends_call


def test_no_joke_comes_twice_before_all_came_once() -> None:
    asked = ["hello"]
    received = []
    for _ in JOKES:
        received.append(answer("tell me a joke", NOW, asked).text)
        asked.append("tell me a joke")
    assert sorted(received) == sorted(JOKES)


def test_misses_are_answered_with_more_and_more_help_and_then_with_silence() -> None:
    answers = [answer_to_a_miss(misses) for misses in range(1, PATIENCE + 3)]
    assert all(isinstance(said, Answer) for said in answers[:PATIENCE])
    assert len({said.text for said in answers[:PATIENCE] if said}) == PATIENCE
    assert answers[PATIENCE:] == [None, None]
